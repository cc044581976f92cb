"""The recorder's end of tests: a robot whose every source it can hear, and its process."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from dit4dit_msgs.msg import EpisodeStatus
from geometry_msgs.msg import Point, Pose, PoseArray
from rclpy.task import Future
from sensor_msgs.msg import Image, JointState, Joy
from std_srvs.srv import Trigger
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_description import load_robot
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS
from g1_test_support.outside import Outside
from g1_test_support.processes import Program, module, parameter_words

ROBOT = load_robot()
HEIGHT, WIDTH = 48, 64


class RecordedRobot(Outside):
    """Joint k stands at wave(t) + k / 100, commanded 0.5 more; brightness is the wave.

    camera: what it shows: 'wave', 'noise', or '' where it is unplugged. unplugged: names of cameras
    that give nothing. away: so much higher is the wave where it stands still.
    """

    def __init__(self, cameras: Sequence[str] = ('head',)) -> None:
        self.camera = 'wave'
        self.unplugged: set[str] = set()
        self.away = 0.0
        self._frozen: float | None = None
        self._shown: deque[float] = deque(maxlen=300)  # when it took pictures [s]
        super().__init__('robot')
        self.status: EpisodeStatus | None = None
        self._images = {
            camera.name: self.node.create_publisher(Image, f'{camera.topic}/image_raw', SENSOR_DATA)
            for camera in ROBOT.embodiment.select_cameras(cameras)
        }
        self._joints = self.node.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        self._arms = self.node.create_publisher(LowCmdMessage, 'arm_sdk', COMMAND)
        self._grippers = {
            topic: [
                self.node.create_publisher(JointState, f'{side}_gripper/{topic}', COMMAND)
                for side in ('left', 'right')
            ]
            for topic in ('state', 'command')
        }
        self._hands = self.node.create_publisher(PoseArray, 'teleop/hands', SENSOR_DATA)
        self._inputs = self.node.create_publisher(Joy, 'teleop/inputs', SENSOR_DATA)
        self._low_cmd = LowCmd()
        for period, publish in (
            (1 / 30, self._publish_image),
            (1 / 125, self._publish_joints),
            (1 / 250, self._publish_command),
            (1 / 50, self._publish_grippers),
            (1 / 90, self._publish_hands),
        ):
            self.node.create_timer(period, publish)
        self.node.create_subscription(EpisodeStatus, 'recorder/status', self._take, STATUS)
        self._clients = {
            name: self.node.create_client(Trigger, f'recorder/{name}')
            for name in ('start', 'save', 'discard', 'pause', 'resume', 'keep')
        }

    def ask(self, service: str) -> Future:
        """The answer to come of recorder/`service`."""
        client = self._clients[service]
        self.wait_for(client.service_is_ready, f'recorder/{service}')
        return client.call_async(Trigger.Request())

    def record(self, frames: int) -> None:
        """Starts an episode as soon as all sources are heard, and waits for its frames."""
        self.wait_for(lambda: self.call('recorder/start').success, 'recorder/start')
        self.wait_for(lambda: self.said.frames >= frames, f'{frames} frames')
        assert self.said.state == EpisodeStatus.RECORDING

    def wait_for_words(self, words: str) -> None:
        """Until the recorder's status is unhealthy and has `words`."""
        self.wait_for(lambda: not self.said.healthy and words in self.said.text, words)

    def wait_for_saved(self, episodes: int) -> None:
        """Until so many episodes are saved and none is being recorded."""
        self.wait_for(
            lambda: self.said.state == EpisodeStatus.IDLE and self.said.episodes_saved == episodes,
            f'{episodes} saved episodes',
        )

    @property
    def said(self) -> EpisodeStatus:
        """The recorder's newest status."""
        self.wait_for(lambda: self.status is not None, 'a status of the recorder')
        assert self.status is not None
        return self.status

    def _take(self, message: EpisodeStatus) -> None:
        self.status = message

    def showed_evenly(self, seconds: float) -> bool:
        """Whether no two pictures were 50 ms apart for so long: a busy computer delays them."""
        shown = np.array([taken for taken in list(self._shown) if taken > self.now() - seconds])
        return len(shown) > 2 and bool(np.diff([self.now() - seconds, *shown]).max() < 0.05)

    def freeze(self, frozen: bool) -> None:
        """Whether the wave stands still, as when the arms hold."""
        self._frozen = self._wave() if frozen else None

    def _wave(self) -> float:
        if self._frozen is not None:
            return self._frozen + self.away
        return 0.2 + 0.2 * np.sin(self.node.get_clock().now().nanoseconds * 1e-9)

    def _publish_image(self) -> None:
        if not self.camera:
            return
        pixels = np.full((HEIGHT, WIDTH, 3), min(round(self._wave() * 500), 255), np.uint8)
        if self.camera == 'noise':
            pixels = np.random.default_rng().integers(0, 255, pixels.shape, np.uint8)
        message = Image(height=HEIGHT, width=WIDTH, step=WIDTH * 3, encoding='rgb8')
        message.header.stamp = self.node.get_clock().now().to_msg()
        message.data = pixels.tobytes()
        self._shown.append(self.now())
        for camera, publisher in self._images.items():
            if camera not in self.unplugged:
                publisher.publish(message)

    def publish_foreign_joints(self) -> None:
        """What other nodes say on the same topics: no positions, or joints of their own."""
        for message in (
            JointState(name=list(ROBOT.state_joints)),
            JointState(name=['wheel'], position=[1.0]),
            JointState(),
        ):
            message.header.stamp = self.node.get_clock().now().to_msg()
            self._joints.publish(message)
            for publishers in self._grippers.values():
                for publisher in publishers:
                    publisher.publish(message)

    def _publish_joints(self) -> None:
        message = JointState(name=list(ROBOT.state_joints))
        message.header.stamp = self.node.get_clock().now().to_msg()
        wave = self._wave()
        places = {name: k for k, name in enumerate(ROBOT.action_joints)}
        message.position = [wave + places.get(name, 0) / 100 for name in message.name]
        self._joints.publish(message)

    def _publish_command(self) -> None:
        wave = self._wave() + 0.5
        self._low_cmd.q[ARM_MOTORS] = wave + np.arange(14) / 100
        self._arms.publish(self._low_cmd.to_bytes())

    def _publish_grippers(self) -> None:
        wave = self._wave()
        for topic, more in (('state', 0.0), ('command', 0.5)):
            for k, publisher in enumerate(self._grippers[topic]):
                name, opening = ROBOT.gripper_joints[k], wave + more + (14 + k) / 100
                message = JointState(name=[name], position=[opening])
                message.header.stamp = self.node.get_clock().now().to_msg()
                publisher.publish(message)

    def _publish_hands(self) -> None:
        stamp = self.node.get_clock().now().to_msg()
        poses = [Pose(position=Point(x=self._wave(), y=float(k))) for k in range(3)]
        hands, inputs = PoseArray(poses=poses), Joy(axes=[0.0, 0.1, 1.0, 0.3])
        hands.header.stamp = inputs.header.stamp = stamp
        self._hands.publish(hands)
        self._inputs.publish(inputs)


def recorder_node(folder: Path, task: str = 'arrange_flower', **changes: object) -> Program:
    """recorder_node that writes to `folder`/set, 10 rows a second."""
    parameters = {
        'task': task,
        'dataset': str(folder / 'set'),
        'image_height': HEIGHT,
        'image_width': WIDTH,
        'fps': 10,
        **changes,
    }
    words = parameter_words(parameters)
    return Program(module('g1_recorder.nodes.recorder_node', '--ros-args', *words))
