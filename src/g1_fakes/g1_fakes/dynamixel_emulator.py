"""Dynamixel XM430-W350 servos on pseudo-terminals: ALOHA 2 grippers for a computer without any.

    python -m g1_fakes.dynamixel_emulator --folder /tmp/grippers

opens one port a gripper, /tmp/grippers/left and .../right, each with a servo of ID 9, prints the
`gripper_node` command that drives them, and takes faults as JSON lines on its input, for example
`{"port": "left", "do": "unplug"}`. What the servos are told and what happens to them goes to the
log, one JSON object a line.

The servos speak protocol 2.0 (packets, byte stuffing, CRC16, status errors) and keep the control
table of the ROBOTIS e-manual as far as a gripper needs it. Nothing of it is shared with
the driver; see g1_fakes.dynamixel.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from g1_description import SIDES
from g1_fakes.dynamixel import Port, Servo
from g1_ros.real_time import ask_for_real_time


def main() -> int:
    """Two ports until the input ends or Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog='python -m g1_fakes.dynamixel_emulator',
        description='Two ALOHA 2 gripper servos on pseudo-terminals.',
    )
    parser.add_argument('--folder', type=Path, help='for the ports; default: a new one below /tmp')
    parser.add_argument('--log', type=argparse.FileType('w'), help='file; default: the output')
    given = parser.parse_args()
    ask_for_real_time()  # a servo never waits
    folder = given.folder or Path(tempfile.mkdtemp(prefix='grippers_'))
    log = given.log or sys.stdout
    ports: dict[str, Port] = {side: Port(folder / side, [Servo(9)], log) for side in SIDES}
    arguments = ' '.join(f'-p {side}_port:={port.path}' for side, port in ports.items())
    print(f'g1 run g1_control gripper_node --ros-args {arguments}', flush=True)
    with suppress(KeyboardInterrupt):
        for text in sys.stdin:
            if text.strip():
                _obey(text, ports)
    for port in ports.values():
        port.close()
    return 0


def _obey(text: str, ports: dict[str, Port]) -> None:
    try:
        order = json.loads(text)
        ports[order['port']].do(order['do'], order.get('value'))
    except (ValueError, KeyError, TypeError) as error:
        print(f'{text.strip()}: {error!r}; expected {{"port": "left", "do": ...}}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
