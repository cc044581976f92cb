"""What policy_node subscribes to while it is active."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dit4dit_msgs.msg import SafetyStatus
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image, JointState

from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.observation_buffer import ObservationBuffer
from dit4dit_policy.nodes.inference_thread import Seen
from g1_description import Embodiment
from g1_ros.conversions import JointReader, rgb_array
from g1_ros.qos import NEWEST_SENSOR_DATA, SENSOR_DATA, STATUS
from g1_ros.stamps import nanoseconds, serialised_stamp


class PolicyInputs:
    """Images of the cameras that the policy looks at, joint states, and what control does.

    Images are kept as they came; who infers deserialises those that it infers from.
    """

    def __init__(
        self,
        node: Node,
        embodiment: Embodiment,
        cameras: Sequence[str],
        *,
        max_image_age: float,
        max_joint_state_gap: float,
    ) -> None:
        """Nothing is heard before `open`. Ages and gaps as of `ObservationBuffer` [s]."""
        self.observations: ObservationBuffer[bytes] = ObservationBuffer(
            cameras,
            embodiment.state_names,
            max_image_age=max_image_age,
            max_joint_state_gap=max_joint_state_gap,
        )
        self._node = node
        self._cameras = embodiment.select_cameras(cameras)
        self._joints = JointReader(embodiment.state_names)
        self._safety = SafetyStatus(control_source=SafetyStatus.CONTROL_NOBODY)
        self._subscriptions: list[Subscription] = []

    def open(self, image_came: Callable[[], None]) -> None:
        """Subscribes; `image_came` is called after each image of the first camera."""
        subscribe = self._node.create_subscription
        for number, camera in enumerate(self._cameras):
            take = self._image_taker(camera.name, image_came if number == 0 else None)
            topic = f'{camera.topic}/image_raw'
            self._subscriptions.append(subscribe(Image, topic, take, NEWEST_SENSOR_DATA, raw=True))
        self._subscriptions += [
            subscribe(JointState, 'joint_states', self._on_joint_state, SENSOR_DATA),
            subscribe(SafetyStatus, 'control/safety_status', self._on_safety_status, STATUS),
        ]

    def close(self) -> None:
        """Hears nothing any more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def problem(self) -> str:
        """Why there is nothing to infer from; '' where there is."""
        return self.observations.problem(self._now())

    def chunks_are_executed(self) -> bool:
        """Whether control moves the robot as the policy says."""
        status = self._safety
        following = status.control_source == SafetyStatus.CONTROL_POLICY
        return following and status.mode == SafetyStatus.ACTIVE

    def operator_has_arms(self) -> bool:
        """Whether control follows an operator."""
        return self._safety.control_source == SafetyStatus.CONTROL_OPERATOR

    def observe(self, instruction: str) -> Seen:
        """The newest observation; NoObservationError. ValueError of images of another encoding."""
        match, now = self.observations.match(self._now()), self._now()
        images = {
            camera: rgb_array(deserialize_message(data, Image))
            for camera, data in match.images.items()
        }
        observation = Observation(images, match.state, instruction, match.stamp * 1e-9)
        return Seen(observation, match.stamp, (now - match.stamp) * 1e-9)

    def _now(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def _image_taker(
        self, camera: str, image_came: Callable[[], None] | None
    ) -> Callable[[bytes], None]:
        def take(data: bytes) -> None:
            self.observations.add_image(camera, serialised_stamp(data), data, self._now())
            if image_came is not None:
                image_came()

        return take

    def _on_joint_state(self, message: JointState) -> None:
        positions = self._joints.positions(message)
        if positions is None:
            self.observations.add_incomplete_joint_state(self._joints.missing, self._now())
        else:
            stamp = nanoseconds(message.header.stamp)
            self.observations.add_joint_state(stamp, positions, self._now())

    def _on_safety_status(self, message: SafetyStatus) -> None:
        self._safety = message
