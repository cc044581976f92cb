"""The simulation on the robot's topics."""

from g1_ros.starting import prepare

prepare()
