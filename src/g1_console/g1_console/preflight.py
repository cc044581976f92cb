"""The pre-flight list: each check a small function of a snapshot, and what to do when it fails.

A check returns None where it does not apply: to a simulation, to the other machine, or to something
whose absence another check reports.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from dit4dit_msgs.msg import PolicyStatus, SafetyStatus

from g1_console.snapshot import (
    ARM_SDK,
    CAMERA_INFO,
    CHUNKS,
    IMAGE,
    JOINT_STATES,
    LOWSTATE,
    POLICY,
    SAFETY,
    SIDES,
    Snapshot,
)
from g1_control.unitree import ARM_MOTORS, SUPPORTED_MODE_MACHINES
from g1_description import load_robot
from g1_ros.config import load_tasks

ROBOT_NETWORK = ipaddress.ip_network('192.168.123.0/24')  # as the G1 comes

_LOWSTATE_RATE = 400.0  # [Hz]; the robot sends 500
_JOINT_STATE_RATE = 60.0  # [Hz]; a policy wants one within 50 ms of its image
_IMAGE_RATE = 10.0  # [Hz]; two for every chunk
_IMAGE_AGE = 0.2  # [s] the policy takes none older
_GRIPPER_RATE = 10.0  # [Hz]
_WARM = 10.0  # [degC] below the limit
_CLOCKS_AGREE, _CLOCKS_DIFFER = 0.02, 0.05  # [s]; chunks stamped 0.05 s ahead are refused
_LATE_CYCLE = 2.0  # [ms] half a period of control
_DISK = 10e9, 1e9  # [B]; an hour of recording is some 3e9
_RECEIVE_BUFFER = 4_000_000  # [B]: four images of 640x480
_FRAGMENT_TIME = 1  # [s]


class Level(Enum):
    PASS = 'pass'
    WARN = 'warn'
    FAIL = 'fail'


@dataclass(frozen=True)
class Finding:
    """What a check found, and in words what mends it."""

    check: str
    level: Level
    found: str
    mend: str = ''


Check = Callable[[Snapshot], 'Finding | None']


def findings(snapshot: Snapshot) -> list[Finding]:
    """Of every check that applies."""
    return [finding for check in CHECKS if (finding := check(snapshot)) is not None]


def passed(results: list[Finding]) -> bool:
    return all(finding.level is not Level.FAIL for finding in results)


def _grade(check: str, found: str, mend: str, *, fail: bool = False, warn: bool = False) -> Finding:
    level = Level.FAIL if fail else Level.WARN if warn else Level.PASS
    return Finding(check, level, found, '' if level is Level.PASS else mend)


# --- robot


def network(s: Snapshot) -> Finding | None:
    if s.robot == 'sim':
        return None
    there = [
        f'{name} {address}'
        for name, address in s.computer.addresses.items()
        if ipaddress.ip_address(address) in ROBOT_NETWORK
    ]
    return _grade(
        'robot network',
        ', '.join(there) or f'no interface in {ROBOT_NETWORK}',
        "plug in the robot's cable, then: sudo ip address add 192.168.123.222/24 dev INTERFACE, "
        'and launch with network_interface:=INTERFACE',
        fail=not there and s.machine != 'workstation',
        warn=not there,
    )


def lowstate(s: Snapshot) -> Finding | None:
    topic = s.topic(LOWSTATE)
    if topic.heard:
        return _grade(
            '/lowstate',
            f'{topic.rate:.0f} Hz, the newest {topic.age * 1e3:.0f} ms old',
            'the robot sends 500 Hz: is the cable good, or this computer too busy?',
            fail=topic.rate < _LOWSTATE_RATE / 4 or topic.age > s.limits.lowstate_lost,
            warn=topic.rate < _LOWSTATE_RATE,
        )
    if topic.publishers:
        found = f'nothing comes from {", ".join(topic.publishers)}'
        mend = 'its type or middleware differs: is unitree_hg of the same version on both sides?'
    else:
        found = 'nobody publishes it'
        mend = (
            'switch the robot on and check network and ROS_DOMAIN_ID (the robot has 0); '
            'or start the simulation: g1 launch sim.launch.py'
        )
    return Finding('/lowstate', Level.FAIL, found, mend)


def lowstate_content(s: Snapshot) -> Finding | None:
    if s.wire is None:
        return None
    return _grade(
        'CRC of /lowstate',
        'wrong' if s.wire.corrupt else 'right',
        'another message type or a bad cable; control takes no such state',
        fail=s.wire.corrupt,
    )


def mode_machine(s: Snapshot) -> Finding | None:
    if s.wire is None or s.wire.corrupt:
        return None
    known = sorted(SUPPORTED_MODE_MACHINES)
    return _grade(
        'mode_machine',
        str(s.wire.mode_machine),
        f'this suite moves a 29-DoF G1 only, whose mode_machine is one of {known}',
        fail=s.wire.mode_machine not in known,
    )


def motor_temperature(s: Snapshot) -> Finding | None:
    if s.wire is None or s.wire.corrupt:
        return None
    arms = s.wire.temperature[ARM_MOTORS]
    hottest, limit = float(arms.max()), s.limits.motor_temperature
    return _grade(
        'motor temperature',
        f'{hottest:.0f} degC, {load_robot().arm_joints[int(arms.argmax())]}',
        f'let the arms hang and cool; at {limit:g} degC control lets go of them',
        fail=hottest > limit,
        warn=hottest > limit - _WARM,
    )


def motor_errors(s: Snapshot) -> Finding | None:
    if s.wire is None or s.wire.corrupt:
        return None
    joints = load_robot().joints
    bad = [f'{joints[k].name} {s.wire.errors[k]:#x}' for k in np.flatnonzero(s.wire.errors)]
    return _grade(
        'motor errors',
        ', '.join(bad) or 'none',
        "look the bits up in the robot's app; switch the robot off and on",
        fail=bool(s.wire.errors[ARM_MOTORS].any()),
        warn=bool(bad),
    )


# --- grippers and camera


def gripper(side: str) -> Check:
    def check(s: Snapshot) -> Finding | None:
        topic, fault = s.topic(f'{side}_gripper/state'), s.gripper_faults.get(side, '')
        found = f'{topic.rate:.0f} Hz' if topic.heard else 'no state heard'
        return _grade(
            f'{side} gripper',
            fault or found,
            f'is its power on and its USB cable in, and is gripper_node running ({side}_port in '
            'config/grippers.yaml)?',
            fail=bool(fault) or not topic.heard or topic.rate < _GRIPPER_RATE,
        )

    return check


def gripper_port(side: str) -> Check:
    def check(s: Snapshot) -> Finding | None:
        if s.robot == 'sim' or s.machine == 'workstation' or side not in s.computer.ports:
            return None
        port, problem = s.computer.ports[side]
        return _grade(
            f'{side} gripper port',
            f'{port} {problem}'.strip(),
            'plug the U2D2 in; name the port in config/grippers.yaml; and for access: '
            'sudo usermod -a -G dialout $USER, then log in again',
            fail=bool(problem),
        )

    return check


def camera(s: Snapshot) -> Finding | None:
    topic, wanted = s.topic(IMAGE), load_robot().embodiment.cameras['head']
    if not topic.heard:
        found = 'nobody publishes images' if not topic.publishers else 'no image comes'
        mend = (
            'is the D435i in a USB 3 port, and was robot.launch.py started with camera:=realsense? '
            '(sudo apt-get install ros-jazzy-realsense2-camera)'
            if not topic.publishers
            else 'images get lost on the way: is config/fastdds.xml in use on both sides, and '
            'net.core.rmem_max large enough?'
        )
        return Finding('camera', Level.FAIL, found, mend)
    size = (s.picture.width, s.picture.height) if s.picture else None
    found = f'{topic.rate:.0f} Hz'
    if s.picture:
        found += f', {s.picture.width}x{s.picture.height} {s.picture.encoding}'
    return _grade(
        'camera',
        found,
        f'expected {wanted.width}x{wanted.height} rgb8 or bgr8 at 15 Hz or more: '
        'rgb_camera.color_profile:=640x480x30 rgb_camera.color_format:=RGB8',
        fail=topic.rate < _IMAGE_RATE / 2
        or s.picture is None
        or s.picture.encoding not in ('rgb8', 'bgr8'),
        warn=topic.rate < _IMAGE_RATE or size != (wanted.width, wanted.height),
    )


def image_age(s: Snapshot) -> Finding | None:
    offset = s.topic(IMAGE).offset
    if offset is None:
        return None
    return _grade(
        'image age',
        f'{offset * 1e3:.0f} ms from stamp to arrival',
        f'the policy takes no image older than {_IMAGE_AGE * 1e3:.0f} ms: network or computer too '
        'slow, or clocks that differ',
        fail=not -_CLOCKS_DIFFER < offset < _IMAGE_AGE,
        warn=offset > _IMAGE_AGE / 2,
    )


def camera_info(s: Snapshot) -> Finding | None:
    topic = s.topic(CAMERA_INFO)
    if not s.topic(IMAGE).heard:
        return None
    return _grade(
        'camera_info',
        f'{topic.rate:.0f} Hz' if topic.heard else 'none',
        'recordings need the intrinsics that come with the images',
        warn=not topic.heard,
    )


# --- control


def control(s: Snapshot) -> Finding | None:
    if s.safety is None:
        return Finding(
            'control_node',
            Level.FAIL,
            'not heard',
            'start it: g1 launch robot.launch.py robot:=g1 (or robot:=sim); is ROS_DOMAIN_ID the '
            'same here?',
        )
    armed = s.safety.mode not in (SafetyStatus.DISARMED, SafetyStatus.ESTOP)
    return _grade(
        'control_node',
        s.safety.text,
        'the arms are commanded already: g1 disarm' if armed else 'e-stop is latched: g1 reset',
        fail=s.safety.mode == SafetyStatus.ESTOP,
        warn=armed,
    )


def control_loop(s: Snapshot) -> Finding | None:
    said = s.diagnostics.get('control_node: control')
    if said is None:
        return None
    rate, late = float(said.values['rate']), float(said.values['jitter_p99_ms'])
    return _grade(
        'control loop',
        f'{rate:.0f} Hz, 99 % of cycles less than {late:.2g} ms late',
        'this computer is too busy: end other programs, give real-time permission, or run the '
        'policy on a workstation',
        fail=rate < 100.0,
        warn=late > _LATE_CYCLE,
    )


def joint_states(s: Snapshot) -> Finding | None:
    if s.safety is None:
        return None
    topic = s.topic(JOINT_STATES)
    missing = [name for name in load_robot().state_joints if name not in s.joints]
    if not topic.heard:
        mend = 'control_node sends them once it hears /lowstate and both grippers'
        return Finding('/joint_states', Level.FAIL, 'none', mend)
    return _grade(
        '/joint_states',
        f'without {", ".join(missing)}' if missing else f'{topic.rate:.0f} Hz',
        'control_node sends all 31 joints at 125 Hz: is it of this version, and not too busy?',
        fail=bool(missing),
        warn=topic.rate < _JOINT_STATE_RATE,
    )


def arm_sdk(s: Snapshot) -> Finding | None:
    there = s.topic(ARM_SDK).publishers
    others = [name for name in there if name not in ('control_node', 'watchdog')]
    own = there.count('control_node')
    others += [f'a second {n}' for n in ('control_node', 'watchdog') if there.count(n) > 1]
    return _grade(
        'who commands /arm_sdk',
        ', '.join(others) or ('control_node' if own else 'nobody'),
        'end what else commands the arms; a program that speaks the SDK shows without a ROS name. '
        'Control refuses to arm beside it',
        fail=bool(others),
    )


def watchdog(s: Snapshot) -> Finding | None:
    if s.safety is None:
        return None
    age = s.safety.watchdog_age
    return _grade(
        'watchdog',
        f'heard {age * 1e3:.0f} ms ago' if age >= 0.0 else 'never heard',
        'every launch file starts it beside control_node, which does not arm without it: '
        'ros2 run g1_control watchdog',
        fail=not 0.0 <= age < 0.5,
    )


def real_time(s: Snapshot) -> Finding | None:
    if s.machine == 'workstation':
        return None
    return _grade(
        'real-time permission',
        'yes' if s.computer.real_time else 'no',
        'add to /etc/security/limits.conf: "@realtime - rtprio 95" and "@realtime - memlock '
        'unlimited", put your user into the group realtime and log in again',
        warn=not s.computer.real_time,
    )


# --- policy


def checkpoint(s: Snapshot) -> Finding | None:
    if s.machine == 'robot':
        return None
    it, wanted = s.checkpoint, load_robot().action_joints
    if it.problem:
        mend = 'expected a folder written by dit4dit train: config.json, model.safetensors, '
        return Finding('checkpoint', Level.FAIL, f'{it.folder}: {it.problem}', mend + 'processor')
    if it.joints != wanted:
        differing = sorted(set(it.joints) ^ set(wanted)) or 'the same joints, in another order'
        found = f'made for {len(it.joints)} joints, the robot has {len(wanted)}: {differing}'
        mend = f'train on data recorded with the joints of g1_aloha.yaml, or take {wanted}'
        return Finding('checkpoint', Level.FAIL, found, mend)
    unknown = [task for task in it.tasks if task not in load_tasks()]
    found = f'{it.folder.rpartition("/")[2]}: {len(it.joints)} joints fit'
    found += f', trained on {", ".join(it.tasks) or "no task"}' if it.trained else ', UNTRAINED'
    return _grade(
        'checkpoint',
        found,
        'name those tasks in config/tasks.yaml'
        if it.trained
        else 'its motion has no purpose: give a trained one with checkpoint:=FOLDER',
        warn=not it.trained or bool(unknown),
    )


def policy(s: Snapshot) -> Finding | None:
    if s.machine == 'robot' and s.policy is None:
        return None
    if s.policy is None:
        mend = (
            'start it: g1 launch policy.launch.py (machine:=workstation on a computer of its own)'
        )
        return Finding('policy_node', Level.WARN, 'not heard; only needed to run tasks', mend)
    untrained_task = (
        bool(s.policy.task)
        and bool(s.checkpoint.tasks)
        and s.policy.model_id == s.checkpoint.folder.rpartition('/')[2]
        and s.policy.task not in s.checkpoint.tasks
    )
    found = f'{s.policy.model_id}: {s.policy.text}'
    if untrained_task:
        found += f'; it was not trained on {s.policy.task}'
    return _grade(
        'policy_node',
        found,
        s.policy.text
        if s.policy.state in (PolicyStatus.WAITING, PolicyStatus.ERROR)
        else f'run a task it knows: {", ".join(s.checkpoint.tasks)}'
        if untrained_task
        else 'give it a trained checkpoint',
        fail=s.policy.state == PolicyStatus.ERROR,
        warn=s.policy.state == PolicyStatus.WAITING or not s.policy.trained or untrained_task,
    )


def single_source(name: str) -> Check:
    def check(s: Snapshot) -> Finding | None:
        sources = s.topic(name).publishers
        if len(sources) < 2:
            return None
        return Finding(
            f'who sends {name.rpartition("/")[2]}',
            Level.FAIL,
            ', '.join(sources),
            'several contradict each other: is another system running in this ROS_DOMAIN_ID? End '
            'all but one; a second policy can watch with shadow:=true',
        )

    return check


# --- computer


def clocks(s: Snapshot) -> Finding | None:
    """Stamps made elsewhere against the clock of this computer."""
    stamped = {
        name: s.topic(name).offset
        for name in (JOINT_STATES, SAFETY, POLICY)
        if s.topic(name).offset is not None
    }
    if not stamped:
        return None
    name, worst = max(stamped.items(), key=lambda item: abs(item[1] or 0.0))
    assert worst is not None
    return _grade(
        'clocks',
        f'stamps of {name} are {abs(worst) * 1e3:.1f} ms '
        f'{"behind" if worst > 0 else "ahead of"} this clock',
        'synchronise the computers: chrony with one of them as the server of the other; '
        'chunks stamped in the future are refused',
        fail=abs(worst) > _CLOCKS_DIFFER,
        warn=abs(worst) > _CLOCKS_AGREE,
    )


def disk(s: Snapshot) -> Finding | None:
    enough, least = _DISK
    return _grade(
        'disk space',
        f'{s.computer.disk_free / 1e9:.0f} GB free here',
        'recordings take some 3 GB an hour: move old runs away',
        fail=s.computer.disk_free < least,
        warn=s.computer.disk_free < enough,
    )


def network_buffers(s: Snapshot) -> Finding | None:
    """An image is fragments of datagrams; incomplete ones, kept, block those that come later."""
    if s.machine == 'both':
        return None
    buffer, wait = s.computer.receive_buffer, s.computer.fragment_time
    return _grade(
        'network buffers',
        f'{buffer / 1e6:.1f} MB to receive, {wait} s for the rest of a datagram',
        'images from the other computer get lost, and after losses the network is deaf for half a '
        f'minute: sudo sysctl -w net.core.rmem_max={4 * _RECEIVE_BUFFER} '
        f'net.ipv4.ipfrag_time={_FRAGMENT_TIME}',
        warn=buffer < _RECEIVE_BUFFER or wait > _FRAGMENT_TIME,
    )


CHECKS: tuple[Check, ...] = (
    network,
    lowstate,
    lowstate_content,
    mode_machine,
    motor_temperature,
    motor_errors,
    *(check(side) for side in SIDES for check in (gripper_port, gripper)),
    camera,
    image_age,
    camera_info,
    *(single_source(name) for name in (IMAGE, JOINT_STATES, CHUNKS)),
    control,
    control_loop,
    joint_states,
    arm_sdk,
    watchdog,
    real_time,
    checkpoint,
    policy,
    clocks,
    network_buffers,
    disk,
)
