"""One XM430-W350 with a finger drive: its control table and its motion.

Addresses, sizes and factory values are those of the ROBOTIS e-manual, as far as a gripper needs
them. The motor is a model with round numbers, not a measured one.
"""

from __future__ import annotations

from g1_fakes.dynamixel.protocol import ALERT, BAD_LIMIT, BAD_RANGE, NO_ACCESS

MODEL = 1020  # XM430-W350
FIRMWARE = 48

# Control table: name -> address, bytes, may be written.
TABLE: dict[str, tuple[int, int, bool]] = {
    'model': (0, 2, False),
    'firmware': (6, 1, False),
    'id': (7, 1, True),
    'baud_rate': (8, 1, True),
    'return_delay': (9, 1, True),
    'drive_mode': (10, 1, True),
    'operating_mode': (11, 1, True),
    'temperature_limit': (31, 1, True),
    'current_limit': (38, 2, True),
    'max_position': (48, 4, True),
    'min_position': (52, 4, True),
    'shutdown': (63, 1, True),
    'torque': (64, 1, True),
    'led': (65, 1, True),
    'status_return': (68, 1, True),
    'hardware_error': (70, 1, False),
    'bus_watchdog': (98, 1, True),
    'goal_current': (102, 2, True),
    'goal_velocity': (104, 4, True),
    'profile_acceleration': (108, 4, True),
    'profile_velocity': (112, 4, True),
    'goal_position': (116, 4, True),
    'moving': (122, 1, False),
    'present_current': (126, 2, False),
    'present_velocity': (128, 4, False),
    'present_position': (132, 4, False),
    'present_voltage': (144, 2, False),
    'present_temperature': (146, 1, False),
}
SIGNED = {'goal_current', 'goal_position', 'goal_velocity'} | {
    f'present_{what}' for what in ('current', 'velocity', 'position')
}
_EEPROM_END = 64
_TABLE_SIZE = 147
_FACTORY = {
    'model': MODEL,
    'firmware': FIRMWARE,
    'baud_rate': 3,
    'return_delay': 250,
    'operating_mode': 3,
    'temperature_limit': 80,
    'current_limit': 1193,
    'max_position': 4095,
    'shutdown': 52,
}
_OPERATING_MODES = (0, 1, 3, 4, 5, 16)
HARDWARE_ERRORS = {'input voltage': 0, 'overheating': 2, 'encoder': 3, 'shock': 4, 'overload': 5}

# The motor, in ticks of 1/4096 turn and in current units of 2.69 mA.
_STIFFNESS = 2.0  # current per tick of position error
_DAMPING = 0.06  # current per tick/s
_ACCELERATION = 518.0  # ticks/s2 per unit of current; 200 units run at 46 rev/min
_FRICTION = 33.0  # 1/s
_STEP = 1e-3  # s
_VELOCITY_UNIT = 0.229 * 4096 / 60  # ticks/s
_AMBIENT, _HEATING, _COOLING = 30.0, 4e-6, 1 / 60  # 10 degC over the ambient at 200 units
_BOOT_TIME = 0.2  # s


class Servo:
    """One motor with a finger drive: its control table and its motion between two stops.

    position, stops: ticks. Fingers close towards smaller positions; an object between them raises
    the lower stop.
    """

    def __init__(self, number: int, position: float = 2900.0) -> None:
        self.id = number
        self.position, self.velocity, self.current = position, 0.0, 0.0
        self.temperature = _AMBIENT
        self.stops = (2400.0, 3150.0)
        self.answers_from = 0.0  # [s]; silent before, without power for ever
        self._data = bytearray(_TABLE_SIZE)
        self._time: float | None = None
        for name, value in (_FACTORY | {'id': number}).items():
            self._put(name, value)
        self._boot()

    def __getitem__(self, name: str) -> int:
        address, size, _ = TABLE[name]
        return int.from_bytes(self._data[address : address + size], 'little', signed=name in SIGNED)

    def _put(self, name: str, value: int) -> None:
        address, size, _ = TABLE[name]
        self._data[address : address + size] = value.to_bytes(size, 'little', signed=value < 0)

    def _boot(self) -> None:
        """RAM as after power came: torque off, no error, goals where the motor stands."""
        self._data[_EEPROM_END:] = bytes(_TABLE_SIZE - _EEPROM_END)
        self._put('status_return', 2)
        self._put('goal_current', self['current_limit'])
        self._put('goal_position', round(self.position))

    def reboot(self, now: float) -> None:
        """Starts anew at `now` [s], silent for a moment."""
        self._boot()
        self.answers_from = now + _BOOT_TIME

    def displace(self, ticks: float) -> None:
        """Counts so many ticks more from now on, where nothing has moved."""
        self.position += ticks
        self.stops = (self.stops[0] + ticks, self.stops[1] + ticks)

    def fail(self, error: str) -> None:
        """A hardware error shuts the motor down until it is rebooted."""
        self._put('hardware_error', self['hardware_error'] | 1 << HARDWARE_ERRORS[error])
        self._put('torque', 0)

    @property
    def alert(self) -> int:
        """The bit that every status carries while there is a hardware error."""
        return ALERT if self['hardware_error'] else 0

    def read(self, address: int, size: int) -> bytes:
        """Registers as they are now; beyond the table there are zeros."""
        self._put('present_current', round(self.current))
        self._put('present_velocity', round(self.velocity / _VELOCITY_UNIT))
        self._put('present_position', round(self.position))
        self._put('present_voltage', 120)
        self._put('present_temperature', round(self.temperature))
        self._put('moving', int(abs(self.velocity) > 2.0))
        return bytes(self._data[address : address + size]).ljust(size, b'\0')

    def write(self, address: int, data: bytes) -> int:
        """Writes registers; the status error, 0 if all of them took it."""
        for name, (start, size, writable) in TABLE.items():
            if start < address or start + size > address + len(data):
                continue
            raw = data[start - address : start - address + size]
            value = int.from_bytes(raw, 'little', signed=name in SIGNED)
            error = self._refusal(name, value, writable)
            if error:
                return error
            if name == 'torque' and value and self['hardware_error']:
                continue  # shut down until it is rebooted
            self._put(name, value)
            if name == 'operating_mode':
                self._put('goal_current', self['current_limit'])
        return 0

    def _refusal(self, name: str, value: int, writable: bool) -> int:
        address = TABLE[name][0]
        if not writable or (address < _EEPROM_END and self['torque']):
            return NO_ACCESS
        if name == 'operating_mode' and value not in _OPERATING_MODES:
            return BAD_RANGE
        if name == 'current_limit' and value > _FACTORY['current_limit']:
            return BAD_RANGE
        if name == 'goal_current' and abs(value) > self['current_limit']:
            return BAD_LIMIT
        one_turn = self['operating_mode'] == 3
        if name == 'goal_position' and one_turn and not 0 <= value <= self['max_position']:
            return BAD_LIMIT
        return 0

    def advance(self, now: float) -> None:
        """Lets the motor run until `now` [s]."""
        behind = 0.0 if self._time is None else min(now - self._time, 1.0)
        self._time = now
        steps = int(behind / _STEP)
        self._time -= behind - steps * _STEP
        for _ in range(steps):
            self._move(_STEP)

    def _move(self, dt: float) -> None:
        self.current = 0.0
        if self['torque']:
            limit = min(abs(self['goal_current']), self['current_limit'])
            error = self['goal_position'] - self.position
            wanted = _STIFFNESS * error - _DAMPING * self.velocity
            self.current = max(-limit, min(limit, wanted))
        self.velocity += dt * (_ACCELERATION * self.current - _FRICTION * self.velocity)
        reached = self.position + dt * self.velocity
        self.position = max(self.stops[0], min(self.stops[1], reached))
        if self.position != reached:
            self.velocity = 0.0
        loss = _COOLING * (self.temperature - _AMBIENT)
        self.temperature += dt * (_HEATING * self.current**2 - loss)
