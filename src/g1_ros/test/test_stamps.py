"""The stamp of a serialised message, as rclpy wrote it."""

from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from g1_ros.stamps import serialised_stamp


def test_the_stamp_is_read_from_the_bytes() -> None:
    message = Image(encoding='rgb8', height=1, width=1, step=3, data=b'\x01\x02\x03')
    message.header.stamp = Time(sec=1_790_000_000, nanosec=123_456_789)
    message.header.frame_id = 'camera'
    assert serialised_stamp(serialize_message(message)) == 1_790_000_000_123_456_789
