"""Cameras of the real robot, without a ROS installation: RealSense, and Unitree's image server."""
