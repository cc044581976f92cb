"""Raw topics as they came, in an MCAP file that Foxglove, `ros2 bag` and rosbags open."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from g1_data import layout


class RawLog:
    """A folder with one .mcap file and its metadata.yaml; messages are added in serialised form.

    log = RawLog('raw', {'/joint_states': 'sensor_msgs/msg/JointState'}, {})
    log.add('/joint_states', stamp, data)
    log.close()
    """

    def __init__(
        self, path: str | Path, topics: Mapping[str, str], definitions: Mapping[str, str]
    ) -> None:
        """Makes the folder `path`, which must not exist.

        Args:
            path: folder of the log.
            topics: name of each topic to its type, 'package/msg/Name'.
            definitions: text of the .msg file of each type that ROS 2 itself does not have.

        Raises:
            ValueError: a type that is neither ROS's nor defined.
        """
        types = get_typestore(Stores.ROS2_JAZZY)
        added: dict = {}
        for name, text in definitions.items():
            added |= get_types_from_msg(text, name)
        types.register({name: kind for name, kind in added.items() if name not in types.fielddefs})
        if unknown := sorted(set(topics.values()) - types.fielddefs.keys()):
            raise ValueError(f'raw log: no definition of {", ".join(unknown)}; give its .msg text')
        self._path = Path(path)
        self._writer = Writer(self._path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections = {
            topic: self._writer.add_connection(topic, kind, typestore=types)
            for topic, kind in topics.items()
        }

    def add(self, topic: str, stamp: int, data: bytes) -> None:
        """Appends a message (CDR, with its header) that was received at `stamp` [ns, Unix]."""
        self._writer.write(self._connections[topic], stamp, data)

    def close(self) -> None:
        """Completes the file and brings it to the disk. OSError where it cannot be written."""
        self._writer.close()
        for path in (*self._path.iterdir(), self._path):
            layout.sync(path)

    def abandon(self) -> None:
        """Lets go of the file, which lacks its end."""
        with suppress(OSError):  # a full disk does not take what is buffered either
            self._writer.abort()

    def __enter__(self) -> RawLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()
