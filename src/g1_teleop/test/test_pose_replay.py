"""The operator of a recording, played again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pinocchio
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message

from g1_data.raw_log import RawLog
from g1_description import load_robot
from g1_ros.config import config_path
from g1_ros.operator import (
    BUTTONS,
    HandInput,
    OperatorInput,
    hands_message,
    inputs_message,
)
from g1_ros.parameters import load
from g1_teleop.pose_replay import PoseReplay, read_operator
from g1_teleop.retargeting import Retargeting, RetargetingParameters

PERIOD = 11_111_111  # [ns]
BEGIN = 1_790_000_000 * 10**9
TYPES = {'/teleop/hands': 'geometry_msgs/msg/PoseArray', '/teleop/inputs': 'sensor_msgs/msg/Joy'}


def measurement(k: int) -> OperatorInput:
    """The k-th of a stream: the left hand moves and turns, the right one is lost now and then."""
    pose = np.eye(4)
    pose[:3, :3] = pinocchio.exp3(np.array([0.02, 0.01, 0.03]) * k)
    pose[:3, 3] = (0.01 * k, 0.2, 1.0)
    return OperatorInput(
        stamp=BEGIN + k * PERIOD,
        left=HandInput(pose, grip=1.0, trigger=0.25),
        right=HandInput(None if k % 2 else pose, grip=0.0, trigger=0.5),
        buttons=frozenset(BUTTONS[k % len(BUTTONS) :][:1]),
    )


def record(
    folder: Path,
    count: int,
    topics: dict[str, str] = TYPES,
    measured: Callable[[int], OperatorInput] = measurement,
) -> Path:
    messages = {'/teleop/hands': hands_message, '/teleop/inputs': inputs_message}
    with RawLog(folder, topics, {}) as log:
        for k in range(count):
            taken = measured(k)
            stamp = Time(sec=taken.stamp // 10**9, nanosec=taken.stamp % 10**9)
            for topic in topics:
                log.add(topic, taken.stamp, serialize_message(messages[topic](taken, stamp)))
    return folder


def assert_same(one: OperatorInput, other: OperatorInput) -> None:
    assert one.buttons == other.buttons
    for side in ('left', 'right'):
        a, b = one.hand(side), other.hand(side)
        assert (a.grip, a.trigger) == (b.grip, b.trigger)
        assert (a.pose is None) == (b.pose is None)
        if a.pose is not None:
            np.testing.assert_allclose(a.pose, b.pose, atol=1e-12)
    assert one.head is None
    assert other.head is None


@pytest.mark.parametrize('file', [False, True])
def test_what_was_recorded_is_read_again(tmp_path: Path, file: bool) -> None:
    path = record(tmp_path / 'raw', 20)
    read = read_operator(next(path.glob('*.mcap')) if file else path)
    assert [r.stamp for r in read] == [BEGIN + k * PERIOD for k in range(20)]
    for k, one in enumerate(read):
        assert_same(one, measurement(k))


def test_it_waits_for_the_arms_with_open_grips_plays_in_time_and_stops(tmp_path: Path) -> None:
    now, ready = 50.0, False
    replay = PoseReplay(record(tmp_path / 'raw', 20), lambda: ready, lambda: now)

    waiting = replay.read()
    assert waiting.left.grip == 0.0
    assert waiting.buttons == frozenset()
    np.testing.assert_allclose(waiting.left.pose, measurement(0).left.pose)
    now += 10
    assert replay.read().stamp > waiting.stamp  # alive, but resting
    ready = True
    stamps, begin = [replay.read().stamp], now
    while replay.read().left.grip == 0.0:
        assert now < begin + 2
        now += 0.001
        stamps.append(replay.read().stamp)
    assert now > begin + 0.3  # long enough to see that the grips are open
    played = now
    for k in range(20):
        now = played + (k + 0.5) * PERIOD * 1e-9
        read = replay.read()
        assert_same(read, measurement(k))
        stamps.append(read.stamp)
    assert stamps == sorted(stamps)
    assert len(set(np.diff(stamps[-20:]))) == 1
    now += 5
    assert replay.read().stamp == stamps[-1]


def follow(read: Callable[[], OperatorInput], tick: Callable[[], float]) -> np.ndarray:
    """Targets (n, 16) of 150 cycles from the first that moves a hand."""
    robot = load_robot()
    retargeting = Retargeting(robot, load(RetargetingParameters, config_path('teleop.yaml')))
    targets: list[np.ndarray] = []
    for _ in range(1000):
        now = tick()
        target = retargeting.update(read(), robot.home, now)
        if target is not None:
            targets.append(target)
        if len(targets) == 150:
            return np.array(targets)
    raise AssertionError('no hand moved')


def test_the_targets_are_those_of_the_operator_who_was_recorded(tmp_path: Path) -> None:
    def moving(k: int) -> OperatorInput:
        pose = np.eye(4)
        pose[:3, 3] = 0.05 * np.sin(np.array([1.0, 2.0, 1.5]) * k / 90)
        hand = HandInput(pose, grip=1.0, trigger=k / 300)
        return OperatorInput(BEGIN + k * PERIOD, hand, hand)

    cycles = iter(range(2000))
    now = 0

    def tick() -> float:
        nonlocal now
        now = next(cycles) * 10_000_000  # [ns]
        return now * 1e-9

    recorded = record(tmp_path / 'raw', 300, measured=moving)
    replay = PoseReplay(recorded, lambda: True, lambda: now * 1e-9)
    again = follow(replay.read, tick)
    cycles = iter(range(2000))
    before = follow(lambda: moving(now // PERIOD), tick)
    assert np.ptp(before[:, :14], axis=0).max() > 0.1
    np.testing.assert_allclose(again, before, atol=2e-3)


def test_what_cannot_be_played_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"replay_file: expected the raw log .* got ''"):
        read_operator('')
    with pytest.raises(ValueError, match=r'got .*nowhere.*, which is not there'):
        read_operator(tmp_path / 'nowhere')
    (tmp_path / 'notes.txt').write_text('')
    with pytest.raises(ValueError, match='expected a folder with an MCAP file'):
        read_operator(tmp_path / 'notes.txt')
    hands = {'/teleop/hands': TYPES['/teleop/hands']}
    with pytest.raises(ValueError, match=r'got 3 and 0; it holds: /teleop/hands \(geometry'):
        read_operator(record(tmp_path / 'hands', 3, hands))
    with pytest.raises(ValueError, match='got 0 and 0'):
        read_operator(record(tmp_path / 'empty', 0))
