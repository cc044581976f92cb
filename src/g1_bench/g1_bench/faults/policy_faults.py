"""What a policy sees and where it is: cameras of another clock, foreign messages, a lost server."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dit4dit_msgs.msg import PolicyStatus, SafetyStatus
from sensor_msgs.msg import Image, JointState

from g1_bench.faults.expectations import run_policy, see_hold, see_policy
from g1_bench.faults.fault import Fault, Injection, Reaction
from g1_bench.faults.system_under_test import NotSeenError, SystemUnderTest
from g1_control.safety import Mode
from g1_description import load_robot
from g1_ros import qos
from g1_ros.stamps import time_message_of

_PERIOD = 0.1  # [s] between images
_ANOTHER_CLOCK = 1e9  # [s]
_RUNS_OUT = 3.0  # [s] in which the last chunk does
_PATIENCE = 60.0  # [s] on a busy computer
_UNWELL = (PolicyStatus.WAITING, PolicyStatus.ERROR)


def policy_faults() -> list[Fault]:
    """The rows; each ends with the policy moving the arms as before."""

    def another_clock(image: Image) -> None:
        image.header.stamp = time_message_of(time.time() - _ANOTHER_CLOCK)

    def in_the_future(image: Image) -> None:
        image.header.stamp = time_message_of(time.time() + 1.0)

    def cut(image: Image) -> None:
        image.data = image.data[:1000]

    def bayer(image: Image) -> None:
        image.encoding = 'bayer_rggb8'

    def row(name: str, expected: str, inject: Injection) -> Fault:
        return Fault(name, 'sim', expected, 1.0, inject)

    waits = 'policy waits and says why; HOLD; on'
    ends = 'the task ends, said why; HOLD; on with another task'
    return [
        row('camera: of another clock', waits, _seen(another_clock, 'clock')),
        row('camera: a second in the future', waits, _seen(in_the_future, 'in the future')),
        row('camera: pictures cut short', ends, _seen(cut, 'bytes')),
        row('camera: another encoding', ends, _seen(bayer, 'bayer')),
        row('joint states of somebody else', 'nothing, the motion goes on', _foreign_joints),
        Fault('policy server: killed', 'remote', 'HOLD; on when it is back', 3.0, _killed_server),
        Fault('policy server: hangs', 'remote', 'HOLD; on when it answers', 3.0, _hanging_server),
    ]


def _seen(change: Callable[[Image], None], says: str) -> Injection:
    """In place of the camera's images come others."""

    def inject(system: SystemUnderTest, within: float) -> Reaction:
        run_policy(system)
        with _stopped_camera(system):
            camera = load_robot().embodiment.cameras['head']
            topic = f'{camera.topic}/image_raw'
            publisher = system.node.create_publisher(Image, topic, qos.SENSOR_DATA)
            sent = time.time()
            try:
                while time.time() < sent + _RUNS_OUT:
                    image = Image(
                        width=camera.width,
                        height=camera.height,
                        encoding='rgb8',
                        step=3 * camera.width,
                    )
                    image.header.stamp = time_message_of(time.time())
                    image.data = bytes(3 * camera.width * camera.height)
                    change(image)
                    publisher.publish(image)
                    system.listen(_PERIOD)
                status, seconds = see_policy(system, sent, _UNWELL, says)
                see_hold(system, sent, SafetyStatus.CHUNK_EXPIRED, _RUNS_OUT)
            finally:
                system.node.destroy_publisher(publisher)
        if status.state == PolicyStatus.ERROR:
            run_policy(system)  # the task has ended with it
        system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again', _PATIENCE)
        return f'policy: {status.text}; HOLD, CHUNK_EXPIRED; on', seconds

    return inject


@contextmanager
def _stopped_camera(system: SystemUnderTest) -> Iterator[None]:
    camera = system.processes.children('sim_node')
    for number in camera:
        os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        for number in camera:
            os.kill(number, signal.SIGCONT)


def _foreign_joints(system: SystemUnderTest, within: float) -> Reaction:
    """Names without positions, other joints, and nothing at all, beside the robot's own."""
    run_policy(system)
    messages = (
        JointState(name=list(load_robot().state_joints)),
        JointState(name=['wheel'], position=[1.0]),
        JointState(),
    )
    publisher = system.node.create_publisher(JointState, 'joint_states', qos.SENSOR_DATA)
    sent, chunks = time.time(), system.policy.chunks
    try:
        for _ in range(30):
            for message in messages:
                message.header.stamp = time_message_of(time.time())
                publisher.publish(message)
            system.listen(0.05)
    finally:
        system.node.destroy_publisher(publisher)
    system.wait_for(lambda: system.policy.chunks > chunks, 'new chunk', _PATIENCE)
    for _, status in system.policies_since(sent):
        if 'joint' in status.text:
            raise NotSeenError(f'policy: {status.text}')
    return f'{system.policy.chunks - chunks} chunks meanwhile', within


def _killed_server(system: SystemUnderTest, within: float) -> Reaction:
    run_policy(system)
    sent = system.processes.signal('server', signal.SIGKILL)
    try:
        seconds = see_hold(system, sent, SafetyStatus.CHUNK_EXPIRED, within)
        text = system.policy.text
    finally:
        system.processes.start('server')
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again')
    return f'policy: {text}; HOLD, CHUNK_EXPIRED; on', seconds


def _hanging_server(system: SystemUnderTest, within: float) -> Reaction:
    run_policy(system)
    sent = system.processes.signal('server', signal.SIGSTOP)
    try:
        seconds = see_hold(system, sent, SafetyStatus.CHUNK_EXPIRED, within)
        system.listen(1.0)
        text = system.policy.text
    finally:
        system.processes.signal('server', signal.SIGCONT)
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again')
    return f'policy: {text}; HOLD, CHUNK_EXPIRED; on', seconds
