"""The robot, real or simulated, and its control; without a policy.

ros2 launch g1_bringup robot.launch.py --show-args
"""

from launch import LaunchDescription

from g1_bringup.launch_description import render


def generate_launch_description() -> LaunchDescription:
    return render(__file__)
