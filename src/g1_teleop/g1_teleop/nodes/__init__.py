"""ROS nodes of teleoperation."""

from g1_ros.starting import prepare

prepare()
