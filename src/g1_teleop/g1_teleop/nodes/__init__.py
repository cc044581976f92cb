"""ROS nodes of teleoperation."""
