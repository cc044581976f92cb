"""Raw topics beside the dataset, as MCAP files that any reader understands."""

import re
import struct
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader

from g1_data.validate import validate
from g1_test_support.recorded_robot import HEIGHT, WIDTH, RecordedRobot, recorder_node


def mcap_schemas(path: Path) -> dict[str, tuple[str, str]]:
    """Name to encoding and text of each schema in the summary of an MCAP file (mcap.dev/spec)."""
    data = path.read_bytes()
    magic = b'\x89MCAP0\r\n'
    assert (data[:8], data[-8:]) == (magic, magic)
    place = struct.unpack_from('<Q', data, len(data) - 28)[0]  # the footer's first number
    schemas = {}
    while (kind := data[place]) != 2:  # the footer
        (length,) = struct.unpack_from('<Q', data, place + 1)
        record = data[place + 9 : place + 9 + length]
        place += 9 + length
        if kind == 3:
            texts, at = [], 2
            for _ in ('name', 'encoding', 'text'):
                (size,) = struct.unpack_from('<I', record, at)
                texts.append(record[at + 4 : at + 4 + size].decode())
                at += 4 + size
            schemas[texts[0]] = (texts[1], texts[2])
    return schemas


def undefined(name: str, text: str) -> set[str]:
    """Types that a ros2msg definition uses and does not contain; Foxglove needs them all."""
    definitions = {name.replace('/msg/', '/'): ''}
    owner = next(iter(definitions))
    for line in text.splitlines():
        if line.startswith('MSG: '):
            owner = line.removeprefix('MSG: ').replace('/msg/', '/')
        definitions[owner] = definitions.get(owner, '') + line + '\n'
    used = set()
    for owner, lines in definitions.items():
        for line in lines.splitlines():
            kind = re.match(r'([A-Za-z][\w/]*)(\[.*?\])?\s+\w', line)
            if kind and kind[1][0].isupper():
                used.add(f'{owner.split("/")[0]}/{kind[1]}')
            elif kind and '/' in kind[1]:
                used.add(kind[1].replace('/msg/', '/'))
    return used - definitions.keys()


def test_raw_topics_are_kept_as_mcap(robot: RecordedRobot, tmp_path: Path) -> None:
    recorder = recorder_node(tmp_path, raw_log=True)
    robot.record(5)
    assert robot.call('recorder/save').success
    robot.record(2)
    assert robot.call('recorder/discard').success
    assert recorder.interrupt() == 0
    assert [path.name for path in (tmp_path / 'set/raw').iterdir()] == ['episode_000000']
    with AnyReader([tmp_path / 'set/raw/episode_000000']) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        image: Any = next(
            reader.deserialize(data, connection.msgtype)
            for connection, _, data in reader.messages()
            if connection.topic == '/camera/camera/color/image_raw'
        )
    assert (image.height, image.width) == (HEIGHT, WIDTH)
    schemas = mcap_schemas(tmp_path / 'set/raw/episode_000000/episode_000000.mcap')
    assert {'sensor_msgs/msg/Image', 'unitree_hg/msg/LowCmd'} <= schemas.keys()
    for name, (encoding, text) in schemas.items():
        assert encoding == 'ros2msg'
        assert undefined(name, text) == set(), name
    assert counts['/arm_sdk'] > counts['/camera/camera/color/image_raw'] > 5
    assert validate(tmp_path / 'set') == []
