"""The ROS nodes."""

from g1_ros.starting import prepare

prepare()
