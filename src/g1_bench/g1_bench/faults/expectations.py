"""What a reaction has to look like; each raises NotSeenError where another one, or none, comes."""

from __future__ import annotations

import time

from g1_bench.faults.fault import MARGIN, Reaction
from g1_bench.faults.system_under_test import PATIENCE, NotSeenError, SystemUnderTest
from g1_control.safety import Mode, Reason


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
    ramp = system.limits.estop_ramp + MARGIN
    system.wait_for(lambda: system.commands.weight == 0.0, 'weight 0', ramp)
    expect_mode(system, Mode.ESTOP)
    return f'ESTOP; weight 0 after {time.time() - since:.2f} s', seconds


def see_refused(system: SystemUnderTest, service: str) -> Reaction:
    """The service control/NAME refuses."""
    asked = time.time()
    answer = system.call(service)
    if answer.success:
        raise NotSeenError(f'{service}: {answer.message}')
    return f'refused: {answer.message}', time.time() - asked


def expect_mode(system: SystemUnderTest, mode: Mode) -> None:
    """Control is in this mode now."""
    if system.mode != mode:
        raise NotSeenError(f'expected {mode.name}, got {system.status.text}')


def disarm(system: SystemUnderTest) -> None:
    """Nobody moves the arms any more."""
    system.stream = False
    system.call('disarm')
    system.wait_for(lambda: system.mode == Mode.DISARMED, 'DISARMED', PATIENCE)


def run_policy(system: SystemUnderTest) -> None:
    """The shipped policy moves the simulated arms."""
    system.run_task(120.0)
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE')
    system.listen(0.5)
