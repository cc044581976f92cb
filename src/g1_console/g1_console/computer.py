"""What this computer has to offer, and what is in the folder of a checkpoint."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import socket
import struct
from importlib.resources import files
from pathlib import Path

from g1_console.snapshot import Checkpoint, Computer

_SIOCGIFADDR = 0x8915  # netdevice(7)
_RECEIVE_BUFFER = Path('/proc/sys/net/core/rmem_max')
_FRAGMENT_TIME = Path('/proc/sys/net/ipv4/ipfrag_time')


def shipped_checkpoint() -> Path:
    """The checkpoint that policy_node takes when it is given none."""
    return Path(str(files('dit4dit_policy'))) / 'checkpoints' / 'small'


def read_computer(ports: dict[str, str]) -> Computer:
    """This computer as it is now; `ports` are the serial ports of the grippers by side."""
    return Computer(
        addresses=_addresses(),
        real_time=os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_RTPRIO)[1] != 0,
        disk_free=shutil.disk_usage(Path.cwd()).free,
        receive_buffer=int(_RECEIVE_BUFFER.read_text()),
        fragment_time=int(_FRAGMENT_TIME.read_text()),
        ports={side: (port, _port_problem(Path(port))) for side, port in ports.items()},
    )


def read_checkpoint(folder: Path) -> Checkpoint:
    """What the checkpoint says about itself, without loading its weights."""
    try:
        if missing := [name for name in _FILES if not (folder / name).is_file()]:
            return Checkpoint(str(folder), f'no {", ".join(missing)} in it')
        config = json.loads((folder / 'config.json').read_text())
        processor = json.loads((folder / 'processor.json').read_text())
        return Checkpoint(
            str(folder),
            joints=tuple(
                name
                for group in processor['embodiment']['groups'].values()
                for name in group['action']
            ),
            trained=bool(config['training']['trained']),
            tasks=tuple(processor['tasks']),
        )
    except (KeyError, ValueError, OSError) as error:
        return Checkpoint(str(folder), f'{type(error).__name__}: {error}')


_FILES = ('config.json', 'model.safetensors', 'processor.json')


def _addresses() -> dict[str, str]:
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack('256s', name.encode()))
            except OSError:  # an interface without an IPv4 address
                continue
            found[name] = socket.inet_ntoa(answer[20:24])
    return found


def _port_problem(port: Path) -> str:
    if not port.exists():
        return 'is not there'
    if not os.access(port, os.R_OK | os.W_OK):
        return 'may not be opened by this user'
    return ''
