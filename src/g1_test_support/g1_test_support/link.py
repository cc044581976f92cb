"""Two machines on one computer: network namespaces, and between them a cable that can be bad.

The kernel's own emulator of bad cables (tc netem) is not in every kernel; here frames go through
this process, from one namespace's TAP device to the other's, as late and as seldom as is asked.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time

_TUNSETIFF, _TAP_WITHOUT_HEADER = 0x400454CA, 0x1002  # <linux/if_tun.h>
_MTU = 1500


class NotPermittedError(RuntimeError):
    """Namespaces or TAP devices are not for this user, or not in this kernel."""


class Link:
    """Namespaces `names` at 10.77.0.1 and .2; `delay` [s], `loss` 0 to 1, `cut` can be set."""

    def __init__(self, names: tuple[str, str] = ('g1_robot', 'g1_workstation')) -> None:
        self.names = names
        self.delay = self.loss = 0.0
        self.cut = False
        self.frames = 0
        self._taps: list[int] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        try:
            for k, name in enumerate(names):
                self._taps.append(_tap(f'g1tap{k}'))
                _ip('netns', 'add', name)
                _ip('link', 'set', f'g1tap{k}', 'netns', name)
                _ip('-n', name, 'address', 'add', f'10.77.0.{k + 1}/24', 'dev', f'g1tap{k}')
                _ip('-n', name, 'link', 'set', f'g1tap{k}', 'mtu', str(_MTU), 'up')
                _ip('-n', name, 'link', 'set', 'lo', 'up')
                _ip('-n', name, 'route', 'add', 'default', 'dev', f'g1tap{k}')
                _ip('netns', 'exec', name, 'sysctl', '-w', 'net.ipv4.ipfrag_time=1')  # as g1 check
        except NotPermittedError:
            self.close()
            raise
        self._thread.start()

    def close(self) -> None:
        """Passes nothing on any more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for name in self.names:
            subprocess.run(['ip', 'netns', 'delete', name], check=False, capture_output=True)
        for tap in self._taps:
            os.close(tap)

    def command(self, machine: int, *words: str) -> list[str]:
        """The words as a command on one of the two machines."""
        return ['ip', 'netns', 'exec', self.names[machine], *words]

    def _carry(self) -> None:
        under_way: list[tuple[float, int, int, bytes]] = []  # when it arrives, order, where, frame
        other = dict(zip(self._taps, reversed(self._taps), strict=True))
        while not self._stopping.is_set():
            wait = under_way[0][0] - time.monotonic() if under_way else 0.1
            ready, _, _ = select.select(self._taps, (), (), min(max(wait, 0.0), 0.1))
            for tap in ready:
                frame = os.read(tap, 65536)
                self.frames += 1
                if not self.cut and random.random() >= self.loss:
                    arrival = time.monotonic() + self.delay
                    heapq.heappush(under_way, (arrival, self.frames, other[tap], frame))
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, tap, frame = heapq.heappop(under_way)
                if not self.cut:
                    os.write(tap, frame)


def _tap(name: str) -> int:
    try:
        tap = os.open('/dev/net/tun', os.O_RDWR)
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack('16sH22x', name.encode(), _TAP_WITHOUT_HEADER))
    except OSError as error:
        raise NotPermittedError(f'/dev/net/tun: {error}') from None
    return tap


def _ip(*words: str) -> None:
    try:
        done = subprocess.run(['ip', *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NotPermittedError('there is no command ip; install iproute2') from None
    if done.returncode:
        raise NotPermittedError(f'ip {" ".join(words)}: {done.stderr.strip()}')
