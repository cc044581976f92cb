"""Replaying an episode: the way to its first command, and what is refused before anything moves."""

from dataclasses import replace

import numpy as np
import pytest

from g1_console.episode_replay import ReplayError, motion, read_commands
from g1_data import DatasetWriter, Schema
from g1_description import Group, load_robot

ROBOT = load_robot()
COMMANDS = ROBOT.home + np.linspace(0.0, 0.3, 31)[:, None] * (np.arange(16) < 14)


def write(root, names=ROBOT.action_joints):
    robot = replace(ROBOT.embodiment, groups=(Group('body', names, names),))
    schema = Schema.of(robot, {'head': (16, 16)})
    with (
        DatasetWriter.create(root, schema) as writer,
        writer.episode('wave') as episode,
    ):
        for command in COMMANDS:
            episode.add(command, command, {'head': np.zeros((16, 16, 3), np.uint8)})
    return root


def test_the_way_to_the_first_command_is_slow_and_the_episode_keeps_its_pace():
    pose = COMMANDS[0] + 0.4 * (np.arange(16) == 3)
    planned = motion(pose, COMMANDS, step=0.2)
    assert planned.end - planned.start == pytest.approx(6.0)
    times = np.arange(0.0, planned.end, 0.004)
    wanted = np.array([planned.at(time) for time in times])
    velocity = np.diff(wanted, axis=0) / 0.004
    on_the_way = times[1:] < planned.start
    assert 0.45 < np.abs(velocity[on_the_way]).max() <= 0.51
    np.testing.assert_allclose(wanted[0], pose)
    np.testing.assert_allclose(planned.at(planned.start + 2.0), COMMANDS[10])


def test_a_tenth_of_the_pace_has_targets_close_enough_for_control():
    planned = motion(COMMANDS[0], COMMANDS, step=1.0)
    assert np.diff(planned.times[planned.times <= planned.end]).max() <= 0.4
    assert planned.end - planned.start == pytest.approx(30.0)
    np.testing.assert_allclose(planned.at(planned.start + 10.0), COMMANDS[10])
    np.testing.assert_allclose(planned.at(planned.start + 10.5), COMMANDS[10:12].mean(axis=0))


def test_a_window_begins_with_a_target_that_is_due_and_reaches_ahead():
    planned = motion(COMMANDS[0], COMMANDS, step=0.1)
    for now in (0.0, 0.33, planned.start, planned.end - 0.01):
        times, positions = planned.window(now, 1.0)
        assert len(times) == len(positions) >= 2
        assert now - 0.11 < times[0] <= now
        assert times[-1] >= min(now + 1.0, planned.end)


def test_an_episode_of_the_same_joints_in_another_order_is_played_in_the_robots(tmp_path):
    mirrored = (*ROBOT.action_joints[7:14], *ROBOT.action_joints[:7], *ROBOT.action_joints[14:])
    commands, fps = read_commands(write(tmp_path / 'set', mirrored), 0, ROBOT)
    assert fps == 10
    np.testing.assert_allclose(commands[:, :7], COMMANDS[:, 7:14], atol=1e-6)


def test_what_cannot_be_played_is_named(tmp_path):
    with pytest.raises(ReplayError, match='no episode 1: expected 0 to 0'):
        read_commands(write(tmp_path / 'set'), 1, ROBOT)
    with pytest.raises(ReplayError, match=r'another robot.*left_elbow_joint'):
        read_commands(write(tmp_path / 'other', [f'joint_{k}' for k in range(16)]), 0, ROBOT)
    with pytest.raises(FileNotFoundError, match='not a LeRobot dataset'):
        read_commands(tmp_path / 'nothing', 0, ROBOT)
