"""control_node against a robot that speaks through Unitree's own SDK over CycloneDDS."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dit4dit_msgs.msg import SafetyStatus

_spec = importlib.util.spec_from_file_location(
    'sdk_bench', Path(__file__).with_name('sdk_bench.py')
)
sdk_bench = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sdk_bench)
ROBOT, ControlProcess = sdk_bench.ROBOT, sdk_bench.ControlProcess
Operator, Process = sdk_bench.Operator, sdk_bench.Process

# A busy machine, on which robot and control stutter, must not end in another reaction than asked.
PATIENT = {'missed_deadlines': 250, 'lowstate_stale': 0.3, 'lowstate_lost': 0.6}


@pytest.fixture
def robot(ros_domain: int) -> Iterator[Process]:
    robot = Process('g1_sim.sdk_robot', '--domain', str(ros_domain))
    yield robot
    robot.kill()


@pytest.fixture
def operator(ros_domain: int) -> Iterator[Operator]:
    operator = Operator(ros_domain)
    yield operator
    operator.close()


@pytest.fixture
def control() -> Iterator[ControlProcess]:
    control = ControlProcess(**PATIENT)
    yield control
    control.kill()


def lift(start: float):
    """Every arm joint 0.2 rad further within a second."""

    def at(time: float) -> np.ndarray:
        s = np.clip(time - start, 0, 1)
        share = 10 * s**3 - 15 * s**4 + 6 * s**5
        return ROBOT.home + share * np.array([0.2] * 14 + [-0.02] * 2)

    return at


def test_the_robot_gets_ramps_echoes_and_good_commands_all_the_way(robot, operator, control):
    operator.arm()
    start = operator.now()
    goal = lift(start)(start + 2)
    operator.send(lift(start))
    operator.wait_for_mode(SafetyStatus.ACTIVE)
    operator.wait_for(
        lambda: np.allclose(operator.joint_states[-1].position[15:29], goal[:14], atol=0.05),
        'the arms to lift',
    )
    assert operator.call('disarm').success
    operator.wait_for_mode(SafetyStatus.DISARMED)
    got = robot.ask('report', report=True)
    assert got['crc_wrong'] == got['not_finite'] == got['sdk_disagrees'] == 0
    assert got['decoded_by_sdk'] > 5
    assert got['mode_machine_wrong'] == got['legs_or_waist_touched'] == 0
    assert got['publishers'] == 1
    assert got['sent_period']['p50'] == pytest.approx(4.0, abs=0.4)
    weight = got['weight']
    assert weight['first'] < 0.01 and weight['max'] == 1.0 and weight['last'] == 0.0
    assert weight['up_seconds'] == pytest.approx(1.5, abs=0.4)
    assert weight['down_seconds'] == pytest.approx(1.5, abs=0.4)
    assert weight['largest_step'] < 0.2
    assert got['start_error'] < 0.01
    assert got['motion']['largest_step'] < 0.05
