"""Chunks in, one command a cycle out: chunk buffer, safety and gravity put together. No ROS.

Used by `control_node` and, in process, by rollouts in simulation. Time is an argument [s], of one
clock for everything: the one that stamps count in. What becomes of it is told in `clocks`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g1_control.answers import ChunkAnswer, ChunkOutcome, Command, Status
from g1_control.arbiter import Arbiter
from g1_control.chunk_buffer import Chunk, ChunkBuffer
from g1_control.clocks import ControlClocks, Tick
from g1_control.control_parameters import ControlParameters
from g1_control.fault_monitor import FaultMonitor
from g1_control.limiter import Limiter
from g1_control.safe_motion import SafeMotion
from g1_control.safety import (
    ChunkRejectedError,
    Limits,
    Measured,
    Mode,
    ModeMachine,
    Reason,
    RobotFault,
    SafetyParameters,
    check_chunk,
    check_start,
)
from g1_control.unitree import ARM_MOTORS, MOTORS
from g1_control.watchdog import SILENCE, weight_after
from g1_description import Robot
from g1_description.capsules import Approach
from g1_description.control_source import ControlSource

Array = NDArray[np.float64]

_ROUNDING = 1e-6  # [rad, m] of numbers kept as float32; nothing is clamped for that
_BLOCKED = 0.5  # [s] without any way to go, after which the arms hold
_SLID = 0.5  # [s] for which it is said that the arms slide along the margin
_STILL = 0.01  # [rad/s] below which a joint counts as standing
_FAREWELL = 0.2  # [s] for which weight 0 is still sent after disarming


class Gravity(Protocol):
    """What is asked of g1_description's ArmKinematics."""

    def gravity(self, q: ArrayLike) -> Array:
        """(14,) torques [N m] that carry the arms at posture `q` (14,) [rad]."""
        ...


class Controller:
    """One robot's arms and grippers. Call `cycle` at `ControlParameters.rate`."""

    def __init__(
        self,
        parameters: ControlParameters,
        safety: SafetyParameters,
        robot: Robot,
        kinematics: Gravity,
    ) -> None:
        self._safety, self._kinematics = safety, kinematics
        self._period = 1 / parameters.rate
        self._limits = Limits.of(robot, safety)
        self._limiter = Limiter(self._limits, self._period)
        self._safe_motion = SafeMotion(robot, safety)
        self._buffer = ChunkBuffer(
            parameters.blend, self._limits.velocity / 2, self._limits.acceleration / 2
        )
        self._machine = ModeMachine(safety)
        self._arbiter = Arbiter()
        self._kp = np.array([joint.kp for joint in robot.arms])
        self._kd = np.array([joint.kd for joint in robot.arms])
        self._clocks = ControlClocks(self._period, safety.control_gap)
        self._disarmed_at = self._slid_at = -np.inf
        self._blocked_since: float | None = None
        self._stamp: float | None = None
        self._limiting_joint = ''
        self._rejection = (Reason.NONE, '')
        self._accepted = self._rejected = self._clamped = 0
        #: Told of what only others can see.
        self.monitor = FaultMonitor(self._limits, safety)

    def arm(self, now: float) -> tuple[bool, str]:
        """Takes the arms at their measured pose, the weight ramping up; says why if it doesn't.

        A pose outside the range is taken at the range's end if that is near (`tracking_error`).
        """
        measured = self.monitor.measured
        if self._machine.mode is Mode.DISARMED and measured:
            pose = np.concatenate((measured.q[ARM_MOTORS], measured.gripper))
            self._stand(np.where(np.isfinite(pose), pose, 0.0))
            self._arbiter.arm()
        return self._machine.arm(self._fault(self._clocks.elapsed_at(now), arming=True))

    def disarm(self, now: float) -> tuple[bool, str]:
        """Brakes and hands the arms back, the weight ramping down."""
        return self._hand_back(Reason.OPERATOR, 'weight ramps down')

    def estop(self, now: float, reason: Reason = Reason.ESTOP_SERVICE) -> tuple[bool, str]:
        """Holds the measured pose (grippers keep their grip) and lets go; latched until `reset`."""
        if self._machine.mode is not Mode.ESTOP and self.monitor.measured:
            pose = self._limiter.position
            pose[: self._limits.arms] = self.monitor.measured.q[ARM_MOTORS]
            self._rest_at(pose)
        return self._machine.estop(reason)

    def reset(self, now: float) -> tuple[bool, str]:
        """Releases a latched e-stop; disarmed afterwards."""
        return self._machine.reset()

    def give_back(self, now: float) -> tuple[bool, str]:
        """The operator, if it is one who has the arms, gives them to whoever asks next."""
        return self._arbiter.give_back(now)

    def receive_chunk(self, chunk: Chunk, now: float) -> ChunkAnswer:
        """Follows a chunk from now on, if it is good and the arms are armed.

        A bad chunk is refused whole and the motion goes on; while the arms are not armed or hold
        for a fault, chunks are left alone. One of a policy that was restarted hands the arms back:
        nothing is to move again that nobody has armed since. An operator takes the arms from a
        policy with any targets, and is not followed where they are bad: then the arms brake.
        """
        machine = self._machine
        if machine.mode in (Mode.ACTIVE, Mode.HOLD) and self._arbiter.take(chunk.source):
            self._brake()
        if not machine.follows:
            text = f'no chunk is followed in {machine.mode.name}: {machine.text}'
            return ChunkAnswer(ChunkOutcome.IGNORED, machine.reason, text)
        if text := self._arbiter.ignores(chunk, now):
            return ChunkAnswer(ChunkOutcome.IGNORED, Reason.OPERATOR, text)
        try:
            self._follow(chunk, now)
        except ChunkRejectedError as error:
            self._rejected += 1
            self._rejection = (error.reason, str(error))
            self._limiting_joint = error.joint
            if error.reason is Reason.POLICY_RESTARTED:
                self._hand_back(error.reason, str(error))
            return ChunkAnswer(ChunkOutcome.REJECTED, error.reason, str(error), error.joint)
        self._accepted += 1
        self._stamp = chunk.stamp
        self._arbiter.accepted(chunk)
        machine.chunk_accepted()
        return ChunkAnswer(ChunkOutcome.ACCEPTED)

    def was_silent(self, seconds: float) -> None:
        """No command went out for so long: the watchdog has begun to hand the arms back.

        The weight is taken to be where it is by then, and handing back goes on from there.
        """
        if self._machine.weight > 0.0 and seconds > SILENCE:
            self._hand_back(
                Reason.WATCHDOG,
                f'nothing was commanded for {seconds:.2f} s, so the watchdog has begun to hand the '
                'arms back',
            )
            self._machine.weight = weight_after(self._machine.weight, seconds)

    def observe(
        self,
        q: ArrayLike,
        dq: ArrayLike,
        gripper: ArrayLike,
        now: float,
        *,
        gripper_age: ArrayLike = (0.0, 0.0),
        gripper_fault: tuple[str, str] = ('', ''),
        temperature: ArrayLike | None = None,
        errors: ArrayLike | None = None,
        torque: ArrayLike | None = None,
        mode_machine: int = 5,
    ) -> None:
        """The robot as measured: (29,) each, gripper (2,); in rad, rad/s, degrees C and m.

        A state with a value that is not finite counts as not received. torque: (29,) of the motors
        [N m], without which contact is not felt. gripper: NaN for nothing
        received yet; gripper_age: (2,) [s] of those; gripper_fault: what is wrong with the left and
        the right one, empty if nothing.
        """
        if not np.isfinite(np.concatenate((q, dq, [] if torque is None else torque))).all():
            return
        measured = Measured(
            time=self._clocks.elapsed_at(now),
            q=np.array(q, float),
            dq=np.array(dq, float),
            gripper=np.array(gripper, float),
            gripper_age=np.array(gripper_age, float),
            gripper_fault=gripper_fault,
            temperature=np.zeros(MOTORS) if temperature is None else np.array(temperature, float),
            errors=np.zeros(MOTORS, np.uint32) if errors is None else np.array(errors, np.uint32),
            mode_machine=mode_machine,
        )
        armed = self._machine.mode is not Mode.DISARMED
        self.monitor.observe(measured, None if torque is None else np.asarray(torque, float), armed)

    def cycle(self, now: float, late: bool = False) -> Command:
        """The command for `now`, the time this cycle was due; `late` if that is well past."""
        tick = self._clocks.tick(now)
        self.monitor.begin_cycle(self._clocks.elapsed, late)
        gap = self._clock_fault(tick)
        before = self._machine.mode
        following = self._command_time < self._buffer.end
        fault = self._fault(self._clocks.elapsed) or gap
        self._machine.update(fault, following, self._clocks.elapsed, tick.cycles * self._period)
        if self._machine.mode not in (Mode.ACTIVE, Mode.HOLD):
            self._arbiter.release()
        if before is Mode.ACTIVE and self._machine.mode is not Mode.ACTIVE and following:
            self._brake()
        if self._machine.mode is Mode.HOLD and self.monitor.pressing:
            self._yield()
        if before is Mode.DISARMING and self._machine.mode is Mode.DISARMED:
            self._disarmed_at = self._clocks.elapsed
        for k in range(tick.cycles):
            self._advance(self._plan_time - (tick.cycles - 1 - k) * self._period)
        farewell = self._clocks.elapsed - self._disarmed_at < _FAREWELL
        return self._command(self._machine.mode is not Mode.DISARMED or farewell)

    @property
    def mode(self) -> Mode:
        """Who has the arms."""
        return self._machine.mode

    @property
    def source(self) -> ControlSource:
        """Whose targets are followed."""
        return self._arbiter.source

    @property
    def reason(self) -> Reason:
        """Why the mode is as it is."""
        return self._machine.reason

    @property
    def awaited(self) -> RobotFault | None:
        """What keeps disarmed arms from being armed, as of the last cycle; None if nothing does."""
        if self._machine.mode is not Mode.DISARMED:
            return None
        return self._fault(self._clocks.elapsed)

    @property
    def status(self) -> Status:
        """As of the last cycle."""
        machine = self._machine
        told = self.awaited or machine  # what is wrong now, before what was
        return Status(
            mode=machine.mode,
            reason=told.reason,
            text=f'{machine.mode.name}: {told.text}',
            limiting_joint=self._limiting_joint,
            weight=machine.weight,
            lowstate_age=self.monitor.age(self._clocks.elapsed),
            chunk_age=self._clocks.now - self._stamp if self._stamp is not None else -1.0,
            chunks_accepted=self._accepted,
            chunks_rejected=self._rejected,
            clamped=self._clamped,
            holds=machine.holds,
            deadlines_missed=self.monitor.deadlines_missed,
            rejection_reason=self._rejection[0],
            rejection_text=self._rejection[1],
            source=self._arbiter.source,
        )

    def _hand_back(self, reason: Reason, text: str) -> tuple[bool, str]:
        following = self._machine.mode is Mode.ACTIVE
        result = self._machine.disarm(reason, text)
        if following:
            self._brake()
        return result

    def _follow(self, chunk: Chunk, now: float) -> None:
        times, asked = check_chunk(chunk, self._limits, self._safety, now)
        if chunk.stamp < self._buffer.stamp and now < self._buffer.end:
            raise ChunkRejectedError(
                Reason.CHUNK_TOO_OLD, 'older than the chunk in execution; arrived out of order'
            )
        if self._arbiter.restarted(chunk):
            raise ChunkRejectedError(
                Reason.POLICY_RESTARTED, 'policy_node was restarted; arm again to let it move them'
            )
        positions = np.clip(asked, self._limits.lower, self._limits.upper)
        start = self._plan_time
        first = np.array([np.interp(start, times, column) for column in positions.T])
        check_start(first, self._limiter.ahead[0], self._limits, self._safety)
        clamped = np.argwhere(np.abs(positions - asked) > _ROUNDING)
        if len(clamped):
            self._clamped += len(clamped)
            self._limiting_joint = self._limits.names[int(clamped[0][1])]
        self._buffer.follow(chunk.stamp, times, positions, start)

    def _fault(self, elapsed: float, arming: bool = False) -> RobotFault | None:
        armed = arming or self._machine.mode in (Mode.ARMING, Mode.ACTIVE, Mode.HOLD)
        command = self._limiter.position[: self._limits.arms] if armed else None
        fault = self.monitor.found(elapsed, command)
        if fault and fault.joint:
            self._limiting_joint = fault.joint
        return fault

    @property
    def _command_time(self) -> float:
        assert self._clocks.command is not None
        return self._clocks.command

    @property
    def _plan_time(self) -> float:
        """For which the next command needs what is wanted."""
        return self._command_time + self._limiter.lookahead

    def _clock_fault(self, tick: Tick) -> RobotFault | None:
        """Stops the motion where the clock made no sense; says what was wrong with it."""
        if tick.gap:
            self._stand(self._limiter.position)  # that is where they have been held
            text = f'no control cycle for {tick.gap:.2f} s; the arms stay where they are'
            return RobotFault(Reason.DEADLINES_MISSED, text)
        if tick.setback:
            self._brake()
            text = f'the clock was set back by {tick.setback:.2f} s'
            return RobotFault(Reason.DEADLINES_MISSED, text)
        return None

    def _advance(self, due: float) -> None:
        """One period towards what is wanted at `due`, along the margin where parts would meet."""
        candidate = self._limiter.candidate(self._buffer.sample(due))
        approach = None
        if self._machine.mode is not Mode.DISARMED and candidate[1].any():
            candidate, approach = self._safe_motion.judge(self._limiter, candidate)
        if approach and self._machine.mode is Mode.ACTIVE:
            slid = self._safe_motion.instead(self._limiter, candidate)
            self._tell_sliding(approach, candidate, slid)
            candidate = slid
        elif approach:
            self._rest_at(self._limiter.stopping(self._limiter.ahead))
            candidate = self._limiter.braking()
        else:
            self._blocked_since = None
            if self._clocks.elapsed > self._slid_at + _SLID:
                self._machine.slid_off()
        self._limiter.advance(candidate)

    def _tell_sliding(self, approach: Approach, asked: Array, slid: Array) -> None:
        """Says along what the arms slide; where there is no way to go for a while, they hold."""
        now, arms = self._clocks.elapsed, self._limits.arms
        self._slid_at = now
        self._limiting_joint = approach.first
        reason = Reason.WORKSPACE if approach.at_wall else Reason.SELF_COLLISION
        self._machine.slides(reason, f'slides along the margin: {approach}')
        if np.abs(slid[1, :arms]).max() > _STILL or np.abs(asked[1, :arms]).max() < _STILL:
            self._blocked_since = None
        elif self._blocked_since is None:
            self._blocked_since = now
        elif now > self._blocked_since + _BLOCKED:
            self._machine.hold(reason, str(approach))
            self._rest_at(self._limiter.stopping(self._limiter.ahead))

    def _stand(self, position: Array) -> None:
        self._limiter.reset(position)
        self._rest_at(position)

    def _yield(self) -> None:
        """Goes where something pushes the arms to, rather than press on."""
        assert self.monitor.measured is not None
        pose = self._limiter.position
        pose[: self._limits.arms] = self.monitor.measured.q[ARM_MOTORS]
        self._rest_at(pose)

    def _rest_at(self, position: Array) -> None:
        self._buffer.brake(0.0, np.array((position, np.zeros_like(position))))

    def _brake(self) -> None:
        state = self._limiter.ahead
        velocity = state[1] + state[2] * (self._period / 2)
        self._buffer.brake(self._plan_time, np.array((state[0], velocity)))

    def _command(self, on_wire: bool) -> Command:
        arms = self._limits.arms
        q = self._limiter.position[:arms]
        return Command(
            on_wire=on_wire,
            weight=self._machine.weight,
            q=q,
            dq=self._limiter.velocity[:arms],
            tau=self._kinematics.gravity(q),
            kp=self._kp,
            kd=self._kd,
            gripper=self._limiter.position[arms:],
        )
