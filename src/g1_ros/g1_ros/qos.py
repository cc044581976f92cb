"""The QoS profile of every topic, by what the topic is for (design: one place, named once)."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos import qos_profile_sensor_data as _ros_sensor_data

#: Camera images, camera_info and joint states: what realsense2_camera offers.
SENSOR_DATA: QoSProfile = _ros_sensor_data

#: Newest sample of a sensor stream; an older one is worth nothing.
NEWEST_SENSOR_DATA = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)

#: Commands and chunks: every one should arrive, only the newest counts. Also /arm_sdk.
COMMAND = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

#: Every sample of a stream, for who looks on: unacknowledged, so that no publisher waits for it.
STREAM = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=500,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)

#: Status that a late subscriber should still get.
STATUS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

#: Every change of a status, for who looks on and takes them now and then.
EVERY_STATUS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

#: Every command or chunk, and /diagnostics, for who looks on and takes them now and then.
EVERY_COMMAND = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
