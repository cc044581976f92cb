"""Checks of control: is it there, on time, and alone?"""

from __future__ import annotations

from dit4dit_msgs.msg import SafetyStatus

from g1_console.preflight.finding import Finding, Level, grade
from g1_console.snapshot import ARM_SDK, JOINT_STATES, Snapshot
from g1_control.safety import unset
from g1_description import load_robot

_JOINT_STATE_RATE = 60.0  # [Hz]; a policy wants one within 50 ms of its image
_LATE_CYCLE = 2.0  # [ms] half a period of control


def control(s: Snapshot) -> Finding | None:
    """control_node is there, and waits to be armed."""
    if s.safety is None:
        return Finding(
            'control_node',
            Level.FAIL,
            'not heard',
            'start it: g1 launch robot.launch.py robot:=g1 (or robot:=sim); is ROS_DOMAIN_ID the '
            'same here?',
        )
    armed = s.safety.mode not in (SafetyStatus.DISARMED, SafetyStatus.ESTOP)
    return grade(
        'control_node',
        s.safety.text,
        'the arms are commanded already: g1 disarm' if armed else 'e-stop is latched: g1 reset',
        fail=s.safety.mode == SafetyStatus.ESTOP,
        warn=armed,
    )


def world(s: Snapshot) -> Finding | None:
    """Table, workspace, hand speed and contact are set or switched off, as arming asks for it."""
    told = s.safety.text if s.safety and s.safety.reason == SafetyStatus.WORLD_NOT_SET else ''
    if s.robot == 'sim' or (s.machine == 'workstation' and not told):
        return None  # in simulation sim_world.yaml has them; else the robot's own file counts
    try:
        missing = unset(s.limits)
    except ValueError as error:
        missing = str(error)
    return grade(
        'world around',
        missing or told or 'set, or switched off by name',
        'control reads config/safety.yaml at its start and arms no arms before: start it anew',
        fail=bool(missing or told),
    )


def control_loop(s: Snapshot) -> Finding | None:
    """Control meets its deadlines."""
    said = s.diagnostics.get('control_node: control')
    if said is None:
        return None
    rate, late = float(said.values['rate']), float(said.values['jitter_p99_ms'])
    return grade(
        'control loop',
        f'{rate:.0f} Hz, 99 % of cycles less than {late:.2g} ms late',
        'this computer is too busy: end other programs, give real-time permission, or run the '
        'policy on a workstation',
        fail=rate < 100.0,
        warn=late > _LATE_CYCLE,
    )


def joint_states(s: Snapshot) -> Finding | None:
    """All joints are measured, often enough."""
    if s.safety is None:
        return None
    topic = s.topic(JOINT_STATES)
    missing = [name for name in load_robot().state_joints if name not in s.joints]
    if not topic.heard:
        remedy = 'control_node sends them once it hears /lowstate and both grippers'
        return Finding('/joint_states', Level.FAIL, 'none', remedy)
    return grade(
        '/joint_states',
        f'without {", ".join(missing)}' if missing else f'{topic.rate:.0f} Hz',
        'control_node sends all 31 joints at 125 Hz: is it of this version, and not too busy?',
        fail=bool(missing),
        warn=topic.rate < _JOINT_STATE_RATE,
    )


def arm_sdk(s: Snapshot) -> Finding | None:
    """Nobody but control commands the arms."""
    there = s.topic(ARM_SDK).publishers
    others = [name for name in there if name not in ('control_node', 'watchdog')]
    own = there.count('control_node')
    others += [f'a second {n}' for n in ('control_node', 'watchdog') if there.count(n) > 1]
    return grade(
        'who commands /arm_sdk',
        ', '.join(others) or ('control_node' if own else 'nobody'),
        'end what else commands the arms; a program that speaks the SDK shows without a ROS name. '
        'Control refuses to arm beside it',
        fail=bool(others),
    )


def watchdog(s: Snapshot) -> Finding | None:
    """What brings the arms down when control dies is there."""
    if s.safety is None:
        return None
    age = s.safety.watchdog_age
    return grade(
        'watchdog',
        f'heard {age * 1e3:.0f} ms ago' if age >= 0.0 else 'never heard',
        'every launch file starts it beside control_node, which does not arm without it: '
        'g1 run g1_control watchdog',
        fail=not 0.0 <= age < 0.5,
    )


def real_time(s: Snapshot) -> Finding | None:
    """Control may run before other programs."""
    if s.machine == 'workstation':
        return None
    return grade(
        'real-time permission',
        'yes' if s.computer.real_time else 'no',
        'add to /etc/security/limits.conf: "@realtime - rtprio 95" and "@realtime - memlock '
        'unlimited", put your user into the group realtime and log in again',
        warn=not s.computer.real_time,
    )
