"""The G1's wire: LowCmd and LowState as CDR bytes with numpy views of their content. No ROS.

Both messages are of fixed size, so every field sits at a fixed place of the serialised message
and is read and written there; that costs microseconds where the generated Python messages cost a
hundred.

Layouts and CRC are those of Unitree's SDK (unitree_hg). Motor order: 0-11 legs, 12-14 waist,
15-21 left arm, 22-28 right arm; slot 29 of a LowCmd on /arm_sdk carries the weight. Units: rad,
rad/s, N m.

    command = LowCmd()
    command.q[ARM_MOTORS] = 0.1
    publisher.publish(command.to_bytes())

    state = LowState()
    state.load(received_bytes)      # with raw=True on the subscription
    state.q[:MOTORS]
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g1_control.crc import crc32

#: Entries of `motor_cmd` and `motor_state`; a 29-DoF G1 uses the first 29.
SLOTS = 35
MOTORS = 29
#: Motors of both arms, left then right, seven each.
ARM_MOTORS = slice(15, 29)
#: The slot whose q is the weight of arm_sdk: 0 built-in behaviour, 1 commanded.
WEIGHT_SLOT = 29
#: `mode_machine` of the 29-DoF variants: rev 1.0, waist locked, later revisions.
SUPPORTED_MODE_MACHINES = frozenset({5, 6, *range(11, 17)})

#: Meaning of the bits of `motorstate` (support.unitree.com, G1 developer: error codes of motors).
MOTOR_ERRORS = {
    0x1: 'overcurrent',
    0x2: 'transient overvoltage',
    0x4: 'sustained overvoltage',
    0x8: 'transient undervoltage',
    0x10: 'chip too hot',
    0x20: 'MOS too hot or too cold',
    0x40: 'MOS temperature sensor',
    0x80: 'housing too hot or too cold',
    0x100: 'housing temperature sensor',
    0x200: 'winding too hot',
    0x400: 'rotor encoder 1',
    0x800: 'rotor encoder 2',
    0x1000: 'output encoder',
    0x2000: 'calibration or boot data',
    0x4000: 'unexpected reset',
    0x8000: 'motor locked',
    0x10000: 'chip verification',
    0x20000: 'calibration mode',
    0x40000: 'communication verification',
    0x80000: 'driver version too old',
    0x40000000: 'motor misses the computer',
    0x80000000: 'computer misses the motor',
}

_MOTOR_CMD = np.dtype(
    [
        ('mode', 'u1'),
        ('q', '<f4'),
        ('dq', '<f4'),
        ('tau', '<f4'),
        ('kp', '<f4'),
        ('kd', '<f4'),
        ('reserve', '<u4'),
    ],
    align=True,
)
_LOW_CMD = np.dtype(
    [
        ('mode_pr', 'u1'),
        ('mode_machine', 'u1'),
        ('motors', _MOTOR_CMD, SLOTS),
        ('reserve', '<u4', 4),
        ('crc', '<u4'),
    ],
    align=True,
)
_IMU_STATE = np.dtype(
    [
        ('quaternion', '<f4', 4),
        ('gyroscope', '<f4', 3),
        ('accelerometer', '<f4', 3),
        ('rpy', '<f4', 3),
        ('temperature', '<i2'),
    ],
    align=True,
)
_MOTOR_STATE = np.dtype(
    [
        ('mode', 'u1'),
        ('q', '<f4'),
        ('dq', '<f4'),
        ('ddq', '<f4'),
        ('tau_est', '<f4'),
        ('temperature', '<i2', 2),
        ('vol', '<f4'),
        ('sensor', '<u4', 2),
        ('motorstate', '<u4'),
        ('reserve', '<u4', 4),
    ],
    align=True,
)
_LOW_STATE = np.dtype(
    [
        ('version', '<u4', 2),
        ('mode_pr', 'u1'),
        ('mode_machine', 'u1'),
        ('tick', '<u4'),
        ('imu', _IMU_STATE),
        ('motors', _MOTOR_STATE, SLOTS),
        ('wireless_remote', 'u1', 40),
        ('reserve', '<u4', 4),
        ('crc', '<u4'),
    ],
    align=True,
)

_CDR_HEADER = bytes((0, 1, 0, 0))  # plain CDR, little-endian


def motor_errors(motorstate: int) -> tuple[str, ...]:
    """What the bits of a motor's `motorstate` say; none for 0, a number for what is unknown."""
    known = tuple(text for bit, text in MOTOR_ERRORS.items() if motorstate & bit)
    rest = motorstate & ~sum(MOTOR_ERRORS)
    return (*known, f'0x{rest:x}') if rest else known


class _WireMessage:
    """Content of one message, held as the C struct that the CRC is taken over.

    Serialised (4 bytes of header, then CDR), the message differs from that struct in one place
    only: CDR needs no padding before the first motor's mode. From its q on, offsets are equal.
    """

    def __init__(self, layout: np.dtype) -> None:
        self._struct = bytearray(layout.itemsize)
        self._bytes = np.frombuffer(self._struct, np.uint8)
        self._content = _content_mask(layout)
        fields = layout.fields
        assert fields is not None
        self._motor = fields['motors'][1]
        self.fields: NDArray = np.ndarray((), layout, self._struct)
        motors = self.fields['motors']
        self.mode: NDArray[np.uint8] = motors['mode']
        self.q: NDArray[np.float32] = motors['q']
        self.dq: NDArray[np.float32] = motors['dq']

    def load(self, data: bytes) -> None:
        """Takes over a serialised message; all views show it.

        Raises ValueError when `data` is not a message of this type in little-endian CDR.
        """
        if len(data) != len(self._struct) or data[:2] != _CDR_HEADER[:2]:
            raise ValueError(
                f'expected a {type(self).__name__} of {len(self._struct)} bytes in little-endian '
                f'CDR, got {len(data)} bytes with header {bytes(data[:4]).hex()}; '
                'is another type on this topic?'
            )
        motor = self._motor
        self._struct[: motor - 2] = data[4 : motor + 2]
        self._struct[motor] = data[motor + 2]
        self._struct[motor + 4 :] = data[motor + 4 :]

    def to_bytes(self) -> bytes:
        """The serialised message, its CRC renewed."""
        self.fields['crc'] = self._content_crc()
        struct, motor = self._struct, self._motor
        return b''.join(
            (
                _CDR_HEADER,
                struct[: motor - 2],
                struct[motor : motor + 1],
                b'\0',
                struct[motor + 4 :],
            )
        )

    @property
    def crc(self) -> int:
        """As the message carries it."""
        return int(self.fields['crc'])

    @property
    def crc_ok(self) -> bool:
        """Whether the message carries the CRC of its content."""
        return self.crc == self._content_crc()

    @property
    def mode_pr(self) -> int:
        return int(self.fields['mode_pr'])

    @mode_pr.setter
    def mode_pr(self, value: int) -> None:
        self.fields['mode_pr'] = value

    @property
    def mode_machine(self) -> int:
        """Variant of the robot; a command echoes the state's."""
        return int(self.fields['mode_machine'])

    @mode_machine.setter
    def mode_machine(self, value: int) -> None:
        self.fields['mode_machine'] = value

    def _content_crc(self) -> int:
        # Padding counts as zero, whatever the sender's serialiser left there.
        return crc32((self._bytes & self._content)[:-4].tobytes())


class LowCmd(_WireMessage):
    """A command, zero at first. Views (35,): mode (1 = enabled), q, dq, tau, kp, kd."""

    def __init__(self) -> None:
        super().__init__(_LOW_CMD)
        motors = self.fields['motors']
        self.tau: NDArray[np.float32] = motors['tau']
        self.kp: NDArray[np.float32] = motors['kp']
        self.kd: NDArray[np.float32] = motors['kd']

    @property
    def weight(self) -> float:
        """Share of this command against the robot's built-in behaviour, 0 to 1."""
        return float(self.q[WEIGHT_SLOT])

    @weight.setter
    def weight(self, value: float) -> None:
        self.q[WEIGHT_SLOT] = value


class LowState(_WireMessage):
    """A measured state, zero at first.

    Views (35,): mode, q, dq, ddq, tau_est, vol [V], motorstate (error bits); temperature (35, 2)
    [degrees C]. Views of the IMU in the pelvis: quaternion (4,) as w, x, y, z; gyroscope (3,)
    [rad/s]; accelerometer (3,) [m/s2]; rpy (3,). wireless_remote (40,) is the remote control's raw
    state.
    """

    def __init__(self) -> None:
        super().__init__(_LOW_STATE)
        motors, imu = self.fields['motors'], self.fields['imu']
        self.ddq: NDArray[np.float32] = motors['ddq']
        self.tau_est: NDArray[np.float32] = motors['tau_est']
        self.temperature: NDArray[np.int16] = motors['temperature']
        self.vol: NDArray[np.float32] = motors['vol']
        self.motorstate: NDArray[np.uint32] = motors['motorstate']
        self.quaternion: NDArray[np.float32] = imu['quaternion']
        self.gyroscope: NDArray[np.float32] = imu['gyroscope']
        self.accelerometer: NDArray[np.float32] = imu['accelerometer']
        self.rpy: NDArray[np.float32] = imu['rpy']
        self.wireless_remote: NDArray[np.uint8] = self.fields['wireless_remote']

    @property
    def tick(self) -> int:
        """The robot's own counter [ms]."""
        return int(self.fields['tick'])

    @tick.setter
    def tick(self, value: int) -> None:
        self.fields['tick'] = value & 0xFFFFFFFF

    @property
    def imu_temperature(self) -> int:
        """Of the IMU in the pelvis [degrees C]."""
        return int(self.fields['imu']['temperature'])

    @imu_temperature.setter
    def imu_temperature(self, value: int) -> None:
        self.fields['imu']['temperature'] = value


class Freshness:
    """Tells a new state from one that is corrupt, the last one again, or older than the last one.

    A robot's state always changes: its tick does, and its sensors are never still. The same content
    again is what a bridge sends whose source has stopped. `refused` counts by reason.
    """

    _REORDERED = 100  # [ms] by which a state can come late; a robot that restarts goes back further

    def __init__(self) -> None:
        self.refused = {'corrupt': 0, 'repeated': 0, 'reordered': 0}
        self._crc = -1
        self._tick = 0

    def accept(self, state: LowState) -> bool:
        """Whether `state` is news."""
        reason = self._reason(state)
        if reason:
            self.refused[reason] += 1
            return False
        self._crc, self._tick = state.crc, state.tick
        return True

    def _reason(self, state: LowState) -> str:
        if not state.crc_ok:
            return 'corrupt'
        if state.crc == self._crc:
            return 'repeated'
        return 'reordered' if 0 < self._tick - state.tick <= self._REORDERED else ''


def _content_mask(layout: np.dtype) -> NDArray[np.uint8]:
    """0xFF for every byte of a struct that is part of a field, 0 for padding."""
    mask = np.zeros(layout.itemsize, np.uint8)
    for field, offset, *_ in (layout.fields or {}).values():
        item, shape = field.subdtype or (field, ())
        part = _content_mask(item) if item.fields else np.full(item.itemsize, 0xFF, np.uint8)
        mask[offset : offset + field.itemsize] = np.tile(part, int(np.prod(shape)))
    return mask
