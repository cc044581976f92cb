"""What an operator types, against a running control_node and a stand-in for the robot."""

import json
import os
import signal
import subprocess

import numpy as np
import pytest
from dit4dit_msgs.msg import SafetyStatus

from g1_data import DatasetWriter, Schema
from g1_description import load_robot
from g1_test_support.processes import Program, module
from g1_test_support.sdk_robot import PATIENT, control_node
from g1_test_support.waiting import DEADLINE, wait_until

ROBOT = load_robot()
ELBOW = 'left_elbow_joint'


def g1(*words, timeout=DEADLINE):
    """`g1 ...` to its end."""
    return subprocess.run(
        ['g1', *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, 'COLUMNS': '200'},
    )


@pytest.fixture(scope='module')
def robot(ros_domain):
    """The stand-in for the robot beside control_node and watchdog; prints the modes it sees."""
    with (
        Program(module('g1_test_support.stub_robot')) as stub,
        control_node(**PATIENT),
    ):
        yield stub


def checks(*words):
    """`g1 check --json` as a table of levels and texts by check."""
    done = g1('check', '--json', '--robot', 'sim', *words)
    assert done.returncode in (0, 1), done.stderr
    content = json.loads(done.stdout)
    assert content['passed'] == (done.returncode == 0)
    return content['passed'], {c['check']: (c['level'], c['found']) for c in content['checks']}


def wait_until_ready():
    """All that `g1 check` looks at, once that passes."""
    heard = []

    def passes():
        heard.append(checks('--seconds', '2'))
        return heard[-1][0]

    wait_until(passes, lambda: f'g1 check to pass: {heard[-1]}')
    return heard[-1][1]


def wait_for_mode(robot, wanted):
    seen = robot.json_lines
    wait_until(lambda: seen and seen[-1]['mode'] == wanted, lambda: f'mode {wanted}: {seen}')


def test_the_list_the_state_and_the_way_through_the_modes(robot):
    found = wait_until_ready()
    assert found['mode_machine'] == ('pass', '5')
    assert found['who commands /arm_sdk'] == ('pass', 'control_node')
    assert found['left gripper'][0] == found['/joint_states'][0] == 'pass'
    assert found['camera'][1].endswith('640x480 rgb8')
    assert found['policy_node'][0] == 'warn'

    status = g1('status', '--once')
    assert status.returncode == 0, status.stderr
    assert 'DISARMED' in status.stdout and 'camera_info' in status.stdout

    armed = g1('arm')
    assert (armed.returncode, armed.stdout.splitlines()[-1][:4]) == (0, 'HOLD'), armed.stderr
    stopped = g1('estop')
    assert stopped.returncode == 0 and 'ESTOP' in stopped.stdout
    assert checks('--seconds', '1')[1]['control_node'][0] == 'fail'
    refused = g1('arm')
    assert refused.returncode == 1 and 'reset' in refused.stderr
    assert g1('reset').returncode == 0


def test_a_recorded_episode_is_played_once_the_robot_is_armed(robot, tmp_path):
    wait_until_ready()
    bend = -0.4 * np.sin(np.linspace(0.0, np.pi, 21))  # up, clear of the table
    commands = ROBOT.home + bend[:, None] * (np.arange(16) == ROBOT.arm_joints.index(ELBOW))
    schema = Schema.of(ROBOT.embodiment, {'head': (16, 16)})
    with (
        DatasetWriter.create(tmp_path / 'set', schema) as writer,
        writer.episode('wave') as episode,
    ):
        for row in commands:
            episode.add(row, row, {'head': np.zeros((16, 16, 3), np.uint8)})
    words = ('dataset', 'replay', str(tmp_path / 'set'), '0')

    refused = g1(*words)
    assert refused.returncode == 1 and 'g1 arm' in refused.stderr
    assert g1('arm').returncode == 0
    played = g1(*words)
    assert played.returncode == 0, played.stderr + played.stdout
    assert 'played 21 commands' in played.stdout
    assert '0 targets rejected; 0 brought back into range' in played.stdout
    away = next(line for line in played.stdout.splitlines() if 'left arm' in line)
    assert float(away.split('│')[2].split()[0]) < 50.0, played.stdout  # [mrad], the median

    stopped = subprocess.Popen(['g1', *words, '--speed', '0.3'], stdout=subprocess.PIPE, text=True)
    wait_for_mode(robot, SafetyStatus.ACTIVE)
    stopped.send_signal(signal.SIGINT)
    text, _ = stopped.communicate(timeout=DEADLINE)
    assert stopped.returncode == 130 and 'the arms hold' in text
    wait_for_mode(robot, SafetyStatus.HOLD)
    assert g1('disarm').returncode == 0


def test_with_nobody_there_the_commands_say_what_to_look_at(monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', '101')
    refused = g1('estop')
    assert refused.returncode == 1
    assert 'ROS_DOMAIN_ID' in refused.stderr
