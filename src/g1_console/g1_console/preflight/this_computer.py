"""Checks of this computer: its clock, its disk, its network."""

from __future__ import annotations

from g1_console.preflight.finding import Finding, grade
from g1_console.snapshot import JOINT_STATES, POLICY, SAFETY, Snapshot

_CLOCKS_AGREE, _CLOCKS_DIFFER = 0.02, 0.05  # [s]; chunks stamped 0.05 s ahead are refused
_DISK = 10e9, 1e9  # [B]; an hour of recording is some 3e9
_RECEIVE_BUFFER = 4_000_000  # [B]: four images of 640x480
_FRAGMENT_TIME = 1  # [s]


def clocks(s: Snapshot) -> Finding | None:
    """Stamps made elsewhere against the clock of this computer."""
    stamped = {
        name: s.topic(name).offset
        for name in (JOINT_STATES, SAFETY, POLICY)
        if s.topic(name).offset is not None
    }
    if not stamped:
        return None
    name, worst = max(stamped.items(), key=lambda item: abs(item[1] or 0.0))
    assert worst is not None
    return grade(
        'clocks',
        f'stamps of {name} are {abs(worst) * 1e3:.1f} ms '
        f'{"behind" if worst > 0 else "ahead of"} this clock',
        'synchronise the computers: chrony with one of them as the server of the other; '
        'chunks stamped in the future are refused',
        fail=abs(worst) > _CLOCKS_DIFFER,
        warn=abs(worst) > _CLOCKS_AGREE,
    )


def disk(s: Snapshot) -> Finding | None:
    """There is room for recordings."""
    enough, least = _DISK
    return grade(
        'disk space',
        f'{s.computer.disk_free / 1e9:.0f} GB free here',
        'recordings take some 3 GB an hour: move old runs away',
        fail=s.computer.disk_free < least,
        warn=s.computer.disk_free < enough,
    )


def network_buffers(s: Snapshot) -> Finding | None:
    """An image is fragments of datagrams; incomplete ones, kept, block those that come later."""
    if s.machine == 'both':
        return None
    buffer, wait = s.computer.receive_buffer, s.computer.fragment_time
    return grade(
        'network buffers',
        f'{buffer / 1e6:.1f} MB to receive, {wait} s for the rest of a datagram',
        'images from the other computer get lost, and after losses the network is deaf for half a '
        f'minute: sudo sysctl -w net.core.rmem_max={4 * _RECEIVE_BUFFER} '
        f'net.ipv4.ipfrag_time={_FRAGMENT_TIME}',
        warn=buffer < _RECEIVE_BUFFER or wait > _FRAGMENT_TIME,
    )
