"""ROS nodes of the control side."""
