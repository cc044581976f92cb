"""ROS nodes of the policy."""
