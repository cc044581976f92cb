"""ROS nodes of the control side."""

from g1_ros.starting import prepare

prepare()
