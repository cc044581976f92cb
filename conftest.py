"""Fixtures of every test."""

from g1_test_support.ros_domain import interruptible, ros_domain

__all__ = ['interruptible', 'ros_domain']
