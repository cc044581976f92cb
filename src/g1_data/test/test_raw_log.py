"""The raw log is opened by rosbags, as Foxglove and `ros2 bag` would."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from g1_data.raw_log import RawLog

OWN = {'unitree_hg/msg/Tiny': 'uint8 mode\nfloat32[3] q\n'}


def test_rosbags_reads_what_was_written(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(OWN['unitree_hg/msg/Tiny'], 'unitree_hg/msg/Tiny'))
    string, tiny = store.types['std_msgs/msg/String'], store.types['unitree_hg/msg/Tiny']
    topics = {'/said': 'std_msgs/msg/String', '/tiny': 'unitree_hg/msg/Tiny'}
    with RawLog(tmp_path / 'raw', topics, OWN) as log:
        for k in range(5):
            said = store.serialize_cdr(string(data=f'number {k}'), 'std_msgs/msg/String')
            log.add('/said', 1_000 + k, bytes(said))
            message = tiny(mode=k, q=np.full(3, k, np.float32))
            log.add('/tiny', 1_000 + k, bytes(store.serialize_cdr(message, 'unitree_hg/msg/Tiny')))

    assert len(list((tmp_path / 'raw').glob('*.mcap'))) == 1
    with AnyReader([tmp_path / 'raw']) as reader:
        seen: list[tuple[str, int, Any]] = [
            (connection.topic, stamp, reader.deserialize(data, connection.msgtype))
            for connection, stamp, data in reader.messages()
        ]
    assert [m.data for topic, _, m in seen if topic == '/said'] == [f'number {k}' for k in range(5)]
    assert [m.q.tolist() for topic, _, m in seen if topic == '/tiny'] == [[k] * 3 for k in range(5)]
    assert {stamp for _, stamp, _ in seen} == {1_000, 1_001, 1_002, 1_003, 1_004}


def test_a_type_nobody_defines_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='no definition of other/msg/Thing'):
        RawLog(tmp_path / 'raw', {'/thing': 'other/msg/Thing'}, {})
    assert not (tmp_path / 'raw').exists()
