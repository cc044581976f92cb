"""What the console costs, and how old a picture is when it is on the page.

python -m pytest src/g1_console/test/test_console_cost.py -m slow -s
"""

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from console_pictures import CLI, VIEWER
from sensor_msgs.msg import Image

from g1_test_support.browser import Browser
from g1_test_support.counted_port import CountedPort
from g1_test_support.processes import Program, python
from g1_test_support.recorded_robot import RecordedRobot

_BITS = 16
_SECONDS = 20.0

#: At each picture that the browser draws: the milliseconds that the camera's newest image has in
#: black and white bars, and how long ago they were.
_WATCH = f"""
window.ages = [];
const canvas = document.createElement('canvas');
canvas.width = 320;
canvas.height = 1;
const pixels = canvas.getContext('2d', {{willReadFrequently: true}});
let last = -1;
function look() {{
  const image = {VIEWER}?.querySelector('img');
  if (image?.complete && image.naturalWidth === 320) {{
    pixels.drawImage(image, 0, 100, 320, 1, 0, 0, 320, 1);
    const row = pixels.getImageData(0, 0, 320, 1).data;
    let time = 0;
    for (let bit = 0; bit < {_BITS}; bit += 1) time = 2 * time + (row[4 * (20 * bit + 10)] > 127);
    if (time !== last) window.ages.push((Date.now() - time) & 0xffff);
    last = time;
  }}
  requestAnimationFrame(look);
}}
look();
"""

pytestmark = pytest.mark.slow  # drawing in software takes the cores from all else


class ClockRobot(RecordedRobot):
    """Its camera, 640x480 at 15 Hz, shows the time [ms] as bars, the highest bit first."""

    _second = False

    def _publish_image(self) -> None:
        self._second = not self._second
        if self._second:
            return
        stamp = self.node.get_clock().now()
        time = (stamp.nanoseconds // 1_000_000) & 0xFFFF
        bits = [time >> (_BITS - 1 - k) & 1 for k in range(_BITS)]
        row = np.repeat(np.array(bits, np.uint8) * 255, 640 // _BITS)
        message = Image(height=480, width=640, step=1920, encoding='rgb8')
        message.header.stamp = stamp.to_msg()
        message.data = np.broadcast_to(row[None, :, None], (480, 640, 3)).tobytes()
        self._images['head'].publish(message)


def cores(pid: int) -> float:
    """Seconds of a core that a process has taken."""
    fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


@pytest.mark.parametrize('window', [(1280, 800), (800, 500)])  # larger ones take longer to draw
def test_what_one_viewer_costs_and_how_old_the_pictures_are(ros_domain, window):
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = int(probe.getsockname()[1])
    with (
        Browser(*window) as browser,
        Program(python(CLI, 'console', '--port', str(port))) as console,
        CountedPort(port) as counted,
        ClockRobot() as robot,
    ):
        console.wait_for('the console is at')

        def during() -> tuple[float, float]:
            """Share of a core, and bytes a second."""
            began, used, received = robot.now(), cores(console.process.pid), counted.received
            robot.wait_for(lambda: robot.now() > began + _SECONDS, 'the time to pass')
            passed = robot.now() - began
            return (
                (cores(console.process.pid) - used) / passed,
                (counted.received - received) / passed,
            )

        alone, _ = during()
        opened = robot.now()
        browser.open(f'http://127.0.0.1:{counted.port}/')
        robot.wait_for(
            lambda: browser.holds(f'{VIEWER}.querySelector("img").naturalWidth === 320'),
            'the camera on the page',
        )
        waited = robot.now() - opened
        browser.run(f'(() => {{ {_WATCH} }})()')
        browser.run('window.ages.length = 0')
        watched, rate = during()
        ages = np.array(browser.run('window.ages'))
    assert len(ages)
    median, late, shown = np.median(ages), np.percentile(ages, 95), len(ages) / _SECONDS
    print(
        f'\nconsole: {100 * alone:.1f} % of a core without a viewer, {100 * watched:.1f} % with '
        f'one, {rate / 1e3:.0f} kB/s; the camera is on the page {waited:.1f} s after it is opened; '
        f'from the camera to pixels on the page: median '
        f'{median:.0f} ms, p95 {late:.0f} ms, {shown:.1f} pictures a second of 15; '
        f'window {window}, load {os.getloadavg()[0]:.1f}'
    )
