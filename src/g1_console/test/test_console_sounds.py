"""The page is heard when the arms go over to somebody else."""

import socket

import pytest
from console_pictures import CLI
from dit4dit_msgs.msg import SafetyStatus

from g1_ros.qos import STATUS
from g1_test_support.browser import Browser
from g1_test_support.outside import Outside
from g1_test_support.processes import Program, python

_BAR_TEXT = (700, 28)  # [px]
#: Notes the tones that the page plays [Hz].
_HEAR = """
window.heard = [];
const start = AudioScheduledSourceNode.prototype.start;
OscillatorNode.prototype.start = function (when) {
  window.heard.push(this.frequency.value);
  start.call(this, when);
};
"""

pytestmark = pytest.mark.browser


def test_it_rises_for_the_operator_and_falls_for_the_policy(ros_domain):
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = int(probe.getsockname()[1])
    with (
        Browser() as browser,
        Program(python(CLI, 'console', '--port', str(port))) as console,
        Outside('control') as control,
    ):
        said = SafetyStatus(mode=SafetyStatus.ACTIVE, text='ACTIVE: following')
        said.control_source = SafetyStatus.CONTROL_POLICY
        publisher = control.node.create_publisher(SafetyStatus, 'control/safety_status', STATUS)
        control.node.create_timer(0.1, lambda: publisher.publish(said))
        console.wait_for('the console is at')
        browser.open(f'http://127.0.0.1:{port}/')

        def wait_for(expression: str) -> None:
            control.wait_for(lambda: browser.holds(expression), expression)

        wait_for("document.getElementById('bar').innerText.includes('ACTIVE')")
        browser.run(_HEAR)
        browser.click(*_BAR_TEXT)  # browsers ask for a press before a page makes a sound
        wait_for("sounds.state == 'running'")
        said.control_source = SafetyStatus.CONTROL_OPERATOR
        wait_for("window.heard.join() == '520,780'")
        said.control_source = SafetyStatus.CONTROL_POLICY
        wait_for("window.heard.join() == '520,780,780,520'")
