"""The DiT4DiT model: torch only, no robot, no ROS."""
