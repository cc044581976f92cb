"""The Dynamixel XM430-W350 as a gripper's motor: registers, units and error bits. No ROS.

All from ROBOTIS' e-manual (emanual.robotis.com/docs/en/dxl/x/xm430-w350), control table.
"""

from __future__ import annotations

import math

MODEL = 1020  # XM430-W350
CURRENT_UNIT = 2.69e-3  # A
TORQUE_CONSTANT = 1.783  # N m/A: 4.1 N m at 2.3 A
TICK = 2 * math.pi / 4096  # rad
MIDDLE = 2048  # the tick that counts as 0 rad, as in Interbotix' and ALOHA's configurations
VELOCITY_UNIT = 0.229 * 2 * math.pi / 60  # rad/s

OPERATING_MODE, CURRENT_LIMIT, TORQUE_ENABLE, HARDWARE_ERROR = 11, 38, 64, 70
GOAL_CURRENT, GOAL_POSITION = 102, 116
PRESENT, VOLTAGE = 126, 144  # current, velocity and position; voltage and temperature
CURRENT_BASED_POSITION = 5
KEPT_BLOCK = (11, 29)  # from operating mode to current limit
# From torque enable to present temperature. Always the same registers are read: an answer that
# comes too late, in place of the next one, is old then, but no other registers' content.
READ_BLOCK = (64, 83)


#: Register 70, bit by bit, and whether a reboot after a rest clears it.
HARDWARE_ERRORS = {
    0: ('input voltage out of range', True),
    1: ('motor hall sensor', False),
    2: ('overheating', True),
    3: ('motor encoder', False),
    4: ('electrical shock, or too little power to run the motor', False),
    5: ('overload', True),
}


def describe_errors(bits: int) -> str:
    """Register 70 in words; empty when all is well."""
    known = [text for bit, (text, _) in HARDWARE_ERRORS.items() if bits >> bit & 1]
    rest = bits & ~sum(1 << bit for bit in HARDWARE_ERRORS)
    return ', '.join(known + ([f'bits {rest:#x}'] if rest else []))


def reboot_clears(bits: int) -> bool:
    """Whether rebooting the servo can clear these errors of register 70."""
    return all(bit in HARDWARE_ERRORS and HARDWARE_ERRORS[bit][1] for bit in _set_bits(bits))


def _set_bits(bits: int) -> list[int]:
    return [bit for bit in range(8) if bits >> bit & 1]
