"""ROS nodes of the policy."""

from g1_ros.starting import prepare

prepare()
