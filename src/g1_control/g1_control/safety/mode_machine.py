"""Who has the arms: the modes and what leads from one to another."""

from __future__ import annotations

from g1_control.safety.parameters import SafetyParameters
from g1_control.safety.reasons import Mode, Reason
from g1_control.safety.robot_faults import RobotFault

_SLIDING = (Reason.SELF_COLLISION, Reason.WORKSPACE)  # along what, while chunks are followed


class ModeMachine:
    """Who has the arms, and how much: mode, its reason, and the weight on the wire (0 to 1)."""

    def __init__(self, parameters: SafetyParameters) -> None:
        self._parameters = parameters
        self.weight = 0.0
        self.holds = 0
        self._fault_since: float | None = None
        self._enter(Mode.DISARMED, Reason.NONE, 'nobody armed yet')

    @property
    def follows(self) -> bool:
        """Whether a good chunk is executed."""
        return self.mode in (Mode.ACTIVE, Mode.HOLD) and self._fault_since is None

    def arm(self, fault: RobotFault | None) -> tuple[bool, str]:
        """Starts to ramp the weight up, unless something is wrong. Says whether, and why not."""
        if self.mode is Mode.ESTOP:
            return False, 'e-stop is latched; call control/reset first'
        if self.mode is Mode.DISARMING:
            return False, f'still disarming (weight {self.weight:.2f}); try again in a moment'
        if self.mode is not Mode.DISARMED:
            return True, f'already armed, mode {self.mode.name}'
        if fault:
            return False, fault.text
        self._fault_since = None
        self._enter(Mode.ARMING, Reason.OPERATOR, 'weight ramps up')
        return True, f'arming, takes {self._parameters.weight_ramp:g} s'

    def disarm(self, reason: Reason, text: str) -> tuple[bool, str]:
        """Ramps the weight down from wherever it is."""
        if self.mode is Mode.ESTOP:
            return False, 'e-stop is latched, the weight is ramping down or 0'
        if self.mode in (Mode.DISARMED, Mode.DISARMING):
            return True, f'already {self.mode.name}'
        self._enter(Mode.DISARMING, reason, text)
        return True, f'disarming, takes {self.weight * self._parameters.weight_ramp:.1f} s'

    def estop(self, reason: Reason) -> tuple[bool, str]:
        """Latches ESTOP: the weight goes down fast."""
        if self.mode is not Mode.ESTOP:
            self._enter(Mode.ESTOP, reason, 'latched until control/reset')
        return True, 'e-stop latched; control/reset releases it'

    def reset(self) -> tuple[bool, str]:
        """Releases a latched ESTOP once the arms are handed back; DISARMED afterwards."""
        if self.mode is not Mode.ESTOP:
            return True, f'nothing to reset, mode {self.mode.name}'
        if self.weight > 0:
            return False, f'weight is still {self.weight:.2f}; try again in a moment'
        self._enter(Mode.DISARMED, Reason.OPERATOR, 'e-stop was reset')
        return True, 'reset; control/arm arms again'

    def chunk_accepted(self) -> None:
        """A good chunk is in execution."""
        if self.mode is Mode.ACTIVE and self.reason in _SLIDING:
            return  # until the arms are off the margin
        self._enter(Mode.ACTIVE, Reason.NONE, 'following chunks')

    def slides(self, reason: Reason, text: str) -> None:
        """Follows as near as the margin between parts, or to a wall, lets it."""
        if self.mode is Mode.ACTIVE:
            self._enter(Mode.ACTIVE, reason, text)

    def slid_off(self) -> None:
        """The motion is as it is asked for again."""
        if self.mode is Mode.ACTIVE and self.reason in _SLIDING:
            self._enter(Mode.ACTIVE, Reason.NONE, 'following chunks')

    def hold(self, reason: Reason, text: str) -> None:
        """Stops following; the next good chunk goes on."""
        if self.mode is Mode.ACTIVE:
            self._hold(reason, text)

    def update(self, fault: RobotFault | None, moving: bool, now: float, dt: float) -> None:
        """One cycle of `dt` s; `moving` as long as a chunk has targets to come."""
        if self.mode is Mode.ARMING:
            self._update_arming(fault, now, dt)
        elif self.mode in (Mode.ACTIVE, Mode.HOLD):
            self._update_armed(fault, moving, now)
        elif self.mode is Mode.DISARMING:
            self.weight = max(0.0, self.weight - dt / self._parameters.weight_ramp)
            if self.weight == 0.0:
                self._handed_back()
        elif self.mode is Mode.ESTOP:
            self.weight = max(0.0, self.weight - dt / self._parameters.estop_ramp)

    def _update_arming(self, fault: RobotFault | None, now: float, dt: float) -> None:
        if self._gives_up(fault, now):
            return
        if fault:
            self._enter(Mode.ARMING, fault.reason, f'weight waits: {fault.text}')
            return
        self.weight = min(1.0, self.weight + dt / self._parameters.weight_ramp)
        if self.weight == 1.0:
            self._enter(Mode.HOLD, Reason.NONE, 'armed, waiting for a chunk')
        else:
            self._enter(Mode.ARMING, Reason.OPERATOR, 'weight ramps up')

    def _update_armed(self, fault: RobotFault | None, moving: bool, now: float) -> None:
        passed = fault is None and self._fault_since is not None
        if self._gives_up(fault, now):
            return
        if fault:
            self._hold(fault.reason, fault.text)
        elif self.mode is Mode.HOLD and passed:
            self._enter(Mode.HOLD, self.reason, f'waiting for a chunk; held before: {self.text}')
        elif self.mode is Mode.ACTIVE and not moving:
            self._hold(Reason.CHUNK_EXPIRED, 'the last chunk ran out')

    def _gives_up(self, fault: RobotFault | None, now: float) -> bool:
        """Disarms for a fault that calls for it or lasts; whether it did."""
        if fault is None:
            self._fault_since = None
            return False
        if self._fault_since is None or fault.waits:
            self._fault_since = now
        if fault.disarms or now - self._fault_since > self._parameters.fault_patience:
            self.disarm(fault.reason, fault.text)
            return True
        return False

    def _handed_back(self) -> None:
        asked = self.reason is Reason.OPERATOR
        text = 'handed back' if asked else f'handed back because of: {self.text}'
        self._enter(Mode.DISARMED, self.reason, text)

    def _hold(self, reason: Reason, text: str) -> None:
        self.holds += self.mode is Mode.ACTIVE
        self._enter(Mode.HOLD, reason, text)

    def _enter(self, mode: Mode, reason: Reason, text: str) -> None:
        self.mode, self.reason, self.text = mode, reason, text
