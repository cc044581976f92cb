"""What control_node takes from others: messages of strangers are left alone."""

from collections.abc import Iterator

import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from g1_control.nodes.inputs import ChunkInputs, GripperInputs
from g1_description import load_robot
from g1_ros.qos import COMMAND, STATUS
from g1_test_support.waiting import wait_until

ROBOT = load_robot()
LEFT = ROBOT.gripper_joints[0]


@pytest.fixture
def node(ros_domain: int) -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain)
    node = rclpy.create_node('inputs', context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize(
    'foreign',
    [
        JointState(name=[LEFT]),  # no positions
        JointState(name=[LEFT, 'other'], position=[0.03]),
        JointState(name=['left_elbow_joint'], position=[0.03]),
        JointState(),
    ],
)
def test_a_joint_state_of_somebody_else_is_no_gripper_state(node: Node, foreign: JointState):
    grippers = GripperInputs(node, ROBOT)
    publisher = node.create_publisher(JointState, 'left_gripper/state', COMMAND)
    faults = node.create_publisher(String, 'left_gripper/fault', STATUS)
    wait_until(lambda: publisher.get_subscription_count() == 1, 'the subscription')
    publisher.publish(foreign)
    faults.publish(String(data='overload'))  # later than the foreign state

    def heard_fault() -> bool:
        grippers.take()
        return grippers.faults == ('overload', '')

    wait_until(heard_fault, 'the fault')
    assert np.isnan(grippers.opening).all()
    node.destroy_publisher(faults)

    def no_fault() -> bool:
        grippers.take()
        return grippers.faults == ('', '')

    wait_until(no_fault, 'the end of the fault with its publisher')

    def heard() -> bool:
        publisher.publish(JointState(name=['other', LEFT], position=[0.5, 0.02]))
        grippers.take()
        return bool(np.isfinite(grippers.opening[0]))

    wait_until(heard, 'the state')
    assert grippers.opening[0] == 0.02
    assert grippers.velocity[0] == 0.0
    assert grippers.age[0] < 1.0 < grippers.age[1]


def test_targets_without_a_stamp_count_from_now(node: Node):
    chunks = ChunkInputs(node)
    publisher = node.create_publisher(JointTrajectory, 'teleop/joint_targets', COMMAND)
    wait_until(lambda: publisher.get_subscription_count() == 1, 'the subscription')
    publisher.publish(JointTrajectory(joint_names=['a']))
    taken = wait_until(lambda: list(chunks.take(12.5)), 'the targets')
    assert (taken[0].stamp, taken[0].names) == (12.5, ('a',))
