"""What stops the arms: faults of the robot and this computer, contact, others who command. No ROS.

Times are of the clock that `Measured` counts in [s].
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from g1_control.contact import ContactObserver
from g1_control.safety import (
    Limits,
    Measured,
    Reason,
    RobotFault,
    SafetyParameters,
    find_fault,
    unset,
)

Array = NDArray[np.float64]


class FaultMonitor:
    """Keeps the newest state of the robot and the late cycles, and says what is wrong with them.

    other_publisher, watchdog_fault: told by who can see it: who else commands or plays the robot,
    and what is wrong with the watchdog; empty if nobody and nothing.
    """

    def __init__(self, limits: Limits, safety: SafetyParameters) -> None:
        self._limits, self._safety = limits, safety
        self._contact = ContactObserver(limits.contact_torque, safety.contact_time)
        self._unset = unset(safety)
        self._late: deque[float] = deque()
        self.measured: Measured | None = None
        self.deadlines_missed = 0
        self.other_publisher = self.watchdog_fault = ''

    def observe(self, measured: Measured, torque: Array | None, armed: bool) -> None:
        """A new state; torque: (29,) of the motors [N m], without which contact is not felt."""
        self.measured = measured
        if torque is None:
            return
        if armed:
            self._contact.observe(measured.q, measured.dq, torque, measured.time)
        else:
            self._contact.forget()

    def begin_cycle(self, now: float, late: bool) -> None:
        """A control cycle; `late` if well past the time it was due."""
        if late:
            self.deadlines_missed += 1
            self._late.append(now)
        while self._late and self._late[0] < now - 1:
            self._late.popleft()

    def age(self, now: float) -> float:
        """Of the newest state [s], negative before the first one."""
        return now - self.measured.time if self.measured else -1.0

    @property
    def pressing(self) -> bool:
        """Whether something presses on an arm now."""
        return self._contact.pressing

    def found(self, now: float, command: Array | None) -> RobotFault | None:
        """The worst thing wrong; `command` is where the arms should be, None while unarmed."""
        if self.other_publisher:
            return RobotFault(Reason.SECOND_PUBLISHER, self.other_publisher, True)
        if self.watchdog_fault:
            return RobotFault(Reason.WATCHDOG, self.watchdog_fault, True)
        fault = find_fault(self.measured, command, self._limits, self._safety, now)
        if fault is None and self._unset:
            return RobotFault(Reason.WORLD_NOT_SET, self._unset, True)
        if fault is None and command is not None:
            fault = self._contact_fault(now)
        if fault is None and len(self._late) >= self._safety.missed_deadlines:
            text = f'{len(self._late)} control cycles late within a second; is the computer busy?'
            return RobotFault(Reason.DEADLINES_MISSED, text)
        return fault

    def _contact_fault(self, now: float) -> RobotFault | None:
        contact = self._contact.found(now)
        if contact is None:
            return None
        joint, torque = contact
        name = self._limits.names[joint]
        return RobotFault(
            Reason.CONTACT,
            f'{name}: {torque:.1f} N m that neither gravity nor motion explain; '
            'something touches the arm, which yields',
            joint=name,
        )
