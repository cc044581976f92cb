"""`g1 faults`: its table, its numbers, and the faults themselves."""

import json
import subprocess
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dit4dit_msgs.msg import SafetyStatus

from g1_bench.faults import command
from g1_bench.faults.command import all_faults, main
from g1_bench.faults.commands import check_commands
from g1_bench.faults.fault import Fault, Outcome
from g1_bench.faults.system_under_test import limits
from g1_control.control_parameters import ControlParameters
from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_fakes.command_log import read_commands

LOWSTATE_STALE, CHUNK_TOO_OLD = SafetyStatus.LOWSTATE_STALE, SafetyStatus.CHUNK_TOO_OLD
FEW = ('chunk: NaN', '/lowstate: lost', 'e-stop: service', 'gripper: unplugged')


def run_faults(folder, *words, timeout):
    """`g1 faults` as a process of its own; its rows by name."""
    line = ['g1', 'faults', '--out', str(folder), *words]
    result = subprocess.run(line, capture_output=True, text=True, timeout=timeout)
    rows = json.loads((folder / 'report.json').read_text())
    bad = {row['name']: row['seen'] for row in rows if not row['holds']}
    assert not bad, result.stdout + result.stderr
    assert result.returncode == 0
    return {row['name']: row for row in rows}


def test_the_list_names_at_least_sixty_faults_and_each_is_in_it_once(capsys):
    names = [fault.name for fault in all_faults()]
    assert len(names) == len(set(names)) >= 60
    assert main(['--list']) == 0
    assert all(f'{name}: ' in capsys.readouterr().out for name in names[:1])


def test_a_name_that_no_fault_has_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(['--only', 'earthquake'])
    assert stop.value.code == 2
    assert 'g1 faults --list' in capsys.readouterr().err


@pytest.mark.timeout(600)
def test_a_few_faults_get_their_reactions(ros_domain, tmp_path):
    rows = run_faults(tmp_path, *(w for name in FEW for w in ('--only', name)), timeout=550)
    assert sorted(rows) == sorted(FEW)
    assert 'left_elbow_joint' in rows['chunk: NaN']['seen']
    lost = rows['/lowstate: lost']['milliseconds']
    assert lost >= 1e3 * limits().lowstate_lost - 5.0  # the last state came just before
    assert all(0 < row['velocity'] <= 2.0 for row in rows.values())


@pytest.mark.parametrize(('reason', 'tries'), [(LOWSTATE_STALE, 2), (CHUNK_TOO_OLD, 1)])
def test_what_a_stuttering_robot_spoils_is_tried_again_and_nothing_else(reason, tries, monkeypatch):
    fault = Fault('chunk: NaN', 'robot', 'refused', 0.1, lambda *_: ('refused', 0.01))
    done = Outcome(fault.name, fault.expected, 'refused', 10.0, 400.0, 9, 0.1, 1.0, True)
    outcomes = [replace(done, seen='HOLD', holds=False), done]
    system: Any = SimpleNamespace(
        overslept=0.0, statuses_since=lambda _: [(1.0, SafetyStatus(reason=reason))]
    )
    monkeypatch.setattr(command, '_inject_once', lambda *_: outcomes.pop(0))
    found = command._inject(system, fault)
    assert len(outcomes) == 2 - tries
    assert found.holds == (tries == 2)
    assert 'HOLD' in found.seen


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_every_fault_gets_its_reaction(ros_domain, tmp_path):
    assert len(run_faults(tmp_path, timeout=1500)) == len(all_faults())


def checked(positions, times=None, weights=None):
    """What there is to say of arm commands at these positions (N,) [rad], a period apart."""
    period = 1 / ControlParameters().rate
    times = np.arange(len(positions)) * period if times is None else times
    weights = np.ones(len(positions)) if weights is None else weights
    velocity = np.gradient(positions, period)
    messages = []
    for time, q, dq, weight in zip(times, positions, velocity, weights, strict=True):
        command = LowCmd()
        command.q[ARM_MOTORS], command.dq[ARM_MOTORS] = q, dq
        command.weight = weight
        messages.append((time, command.to_bytes()))
    return check(messages)


def check(messages):
    return check_commands(read_commands(messages), limits(), 1 / ControlParameters().rate)


SECONDS = np.arange(0, 1, 0.004)


def test_the_largest_velocity_and_acceleration_are_those_of_the_motion():
    motion = checked(0.2 * np.sin(5 * SECONDS))
    assert motion.problems == ()
    assert motion.velocity == pytest.approx(1.0, rel=0.01)
    assert motion.acceleration == pytest.approx(5.0, rel=0.02)


def test_a_command_sent_late_is_no_faster_motion():
    late = SECONDS.copy()
    late[::7] += 0.003
    motion = checked(0.38 * np.sin(5 * SECONDS), late)
    assert motion.problems == ()
    assert motion.velocity == pytest.approx(1.9, rel=0.01)


def test_a_jump_is_a_problem():
    positions = np.where(np.arange(len(SECONDS)) < 100, 0.0, 0.1)
    assert any('velocity' in text for text in checked(positions).problems)


def test_a_jump_of_the_weight_is_a_problem_and_at_weight_0_nothing_else_is():
    positions = np.where(np.arange(len(SECONDS)) < 100, 0.0, 0.5)
    nobody = np.zeros(len(SECONDS))
    assert checked(positions, weights=nobody).problems == ()
    suddenly = np.where(np.arange(len(SECONDS)) < 100, 0.0, 1.0)
    (problem,) = checked(0 * positions, weights=suddenly).problems
    assert problem == 'weight from 0.000 to 1.000'


def test_what_no_command_may_be_is_a_problem():
    broken, touching = LowCmd(), LowCmd()
    broken.q[ARM_MOTORS] = np.nan
    touching.kp[3] = 1.0
    problems = check(
        [
            (0.0, broken.to_bytes()),
            (0.004, broken.to_bytes()[:-1] + b'\x00'),
            (0.008, touching.to_bytes()),
        ]
    ).problems
    assert problems[:3] == ('wrong CRC', 'not finite', 'legs or waist touched')
