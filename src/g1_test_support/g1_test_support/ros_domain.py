"""Every test module gets a ROS domain of its own: no test hears another or a robot nearby."""

import os
import signal
import socket
from collections.abc import Iterator

import pytest

_FIRST, _LAST = 20, 100  # of the ids whose ports Linux leaves free; a robot is usually on 0
_next = os.getpid()


@pytest.fixture(autouse=True, scope='module')
def ros_domain() -> Iterator[int]:
    """The ROS_DOMAIN_ID of this module's processes; discovery stays on this machine."""
    domain, reservation = _reserve()
    with reservation, pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_DOMAIN_ID', str(domain))
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        yield domain


def _reserve() -> tuple[int, socket.socket]:
    """The next domain that no other tests on this machine have, as long as the socket is open."""
    global _next
    for _ in range(_FIRST, _LAST + 1):
        _next += 1
        domain = _FIRST + _next % (_LAST - _FIRST + 1)
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f'\0g1_test_domain_{domain}')  # a name without a file
            return domain, reservation
        except OSError:
            reservation.close()
    raise RuntimeError(f'tests on this machine use every ROS domain from {_FIRST} to {_LAST}')


@pytest.fixture(autouse=True, scope='session')
def interruptible() -> Iterator[None]:
    """Tests started in the background of a shell ignore SIGINT, and so would all they start."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
