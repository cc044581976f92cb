"""LowCmd for who only passes it on, serialised: without the class that rosidl generates.

That class needs numpy, for fields that nobody reads here.
"""

from __future__ import annotations

from typing import Any

from rosidl_generator_py import import_type_support

_support: Any = import_type_support('unitree_hg')


class _Type(type):
    """What rclpy asks a message class for."""

    _CREATE_ROS_MESSAGE = _support.create_ros_message_msg__msg__low_cmd
    _CONVERT_FROM_PY = _support.convert_from_py_msg__msg__low_cmd
    _CONVERT_TO_PY = _support.convert_to_py_msg__msg__low_cmd
    _TYPE_SUPPORT = _support.type_support_msg__msg__low_cmd
    _DESTROY_ROS_MESSAGE = _support.destroy_ros_message_msg__msg__low_cmd

    @classmethod
    def __import_type_support__(cls) -> None:
        """Done already."""


class RawLowCmd(metaclass=_Type):
    """unitree_hg/msg/LowCmd; publish bytes, subscribe with `raw=True`."""
