"""Fixtures of every test."""

from g1_test_support.ros_domain import interruptible, ros_domain
from g1_test_support.shared_memory import tidy_memory

__all__ = ['interruptible', 'ros_domain', 'tidy_memory']
