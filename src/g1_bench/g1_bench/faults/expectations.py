"""What a reaction has to look like; each raises NotSeenError where another one, or none, comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from dit4dit_msgs.msg import PolicyStatus

from g1_bench.faults.fault import MARGIN, Reaction
from g1_bench.faults.headset import Headset
from g1_bench.faults.system_under_test import PATIENCE, NotSeenError, SystemUnderTest
from g1_control.safety import Mode, Reason

ENGAGES = 2.0  # [s] in which a pressed grip moves the arms


def see_mode(system: SystemUnderTest, since: float, mode: Mode, within: float) -> float:
    """Seconds from `since` to this mode."""
    return system.reaction(since, mode.name, lambda s: s.mode == mode, within)


def see_hold(system: SystemUnderTest, since: float, reason: int, within: float) -> float:
    """Seconds from `since` to HOLD for this reason."""
    name = f'HOLD, {Reason(reason).name}'
    return system.reaction(
        since, name, lambda s: s.mode == Mode.HOLD and s.reason == reason, within
    )


def see_disarmed(system: SystemUnderTest, since: float, reason: int, within: float) -> float:
    """Seconds to DISARMING for this reason; waits until the weight has gone down."""
    seconds = system.reaction(
        since,
        f'DISARMING, {Reason(reason).name}',
        lambda s: s.mode == Mode.DISARMING and s.reason == reason,
        within,
    )
    ramp = system.limits.weight_ramp + MARGIN
    system.reaction(since, 'DISARMED', lambda s: s.mode == Mode.DISARMED, within + ramp)
    return seconds


def see_estop(system: SystemUnderTest, since: float, reason: int, within: float) -> Reaction:
    """ESTOP at once, latched, and the weight 0 on the wire within its ramp."""
    seconds = system.reaction(
        since,
        f'ESTOP, {Reason(reason).name}',
        lambda s: s.mode == Mode.ESTOP and s.reason == reason,
        within,
    )
    zero = see_weight_0(system, since, system.limits.estop_ramp + MARGIN)
    expect_mode(system, Mode.ESTOP)
    return f'ESTOP; weight 0 after {zero:.2f} s', seconds


def see_weight_0(system: SystemUnderTest, since: float, within: float) -> float:
    """Seconds from `since` to the first command of weight 0, as it was sent."""
    system.wait_for(lambda: system.commands.weight == 0.0, 'weight 0', PATIENCE)
    zero = next(c.sent for c in system.commands.since(since) if c.weight == 0.0) - since
    if zero > within:
        raise NotSeenError(f'weight 0 after {zero:.2f} s, expected within {within:.2f} s')
    return zero


def see_refused(system: SystemUnderTest, service: str) -> Reaction:
    """The service control/NAME refuses."""
    asked = time.time()
    answer = system.call(service)
    if answer.success:
        raise NotSeenError(f'{service}: {answer.message}')
    return f'refused: {answer.message}', time.time() - asked


def expect_motion(system: SystemUnderTest, since: float, seconds: float) -> None:
    """From then on for so long control follows and the arms move, whenever this process looks."""
    end = since + seconds
    system.wait_for(lambda: system.statuses_since(end), 'status', PATIENCE)
    for stamp, status in system.statuses_since(since):
        if stamp <= end and status.mode != Mode.ACTIVE:
            raise NotSeenError(f'expected ACTIVE, got {status.text}')
    if not system.check_commands(since, end).velocity > 0.0:
        raise NotSeenError('the motion stopped')


def expect_rest(system: SystemUnderTest, since: float, seconds: float) -> None:
    """From then on for so long no command moves the arms."""
    end = since + seconds
    system.wait_for(lambda: system.statuses_since(end), 'status', PATIENCE)
    moved = system.check_commands(since, end).velocity
    if moved > 0.0:
        raise NotSeenError(f'the arms move, at {moved:.2f} rad/s')


def expect_mode(system: SystemUnderTest, mode: Mode) -> None:
    """Control is in this mode now, and stays in it: nothing runs out."""
    if system.mode != mode:
        raise NotSeenError(f'expected {mode.name}, got {system.status.text}')


def disarm(system: SystemUnderTest) -> None:
    """Nobody moves the arms any more."""
    system.stream = False
    system.call('disarm')
    system.wait_for(lambda: system.mode == Mode.DISARMED, 'DISARMED', PATIENCE)


def see_policy(
    system: SystemUnderTest, since: float, states: Sequence[int], says: str
) -> tuple[PolicyStatus, float]:
    """The policy's first status since then of such a state that says so, and seconds to it."""

    def found() -> list[tuple[float, PolicyStatus]]:
        return [
            (stamp, status)
            for stamp, status in system.policies_since(since)
            if status.state in states and says in status.text
        ]

    system.wait_for(found, f'word of the policy; it says: {system.policy.text}', PATIENCE)
    stamp, status = found()[0]
    return status, stamp - since


def run_policy(system: SystemUnderTest) -> None:
    """The shipped policy moves the simulated arms."""
    system.run_task(120.0)
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE')
    system.listen(0.5)


def press_until(
    system: SystemUnderTest, headset: Headset, opened: float, done: Callable[[float], bool]
) -> float:
    """Presses the grips, anew where a busy teleop_node has let go, until `done` since then [s].

    opened: how long they are open before [s]. When they were pressed last; NotSeenError: in vain.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        headset.grip = 0.0
        system.listen(opened)
        headset.grip, pressed = 1.0, time.time()
        while time.time() < pressed + ENGAGES:
            system.listen(0.02)
            if done(pressed):
                return pressed
    raise NotSeenError(f'pressed grips do not take the arms; teleop_node: {system.teleop_says}')
