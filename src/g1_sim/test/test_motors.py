"""The motors do what the firmware's do with a command."""

import numpy as np
import pytest

from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_description import load_robot
from g1_sim.motors import MotorCommand, MotorLaw, Temperatures
from g1_sim.simulation import Simulation
from g1_sim.wire import motor_command

ROBOT = load_robot()
LEFT_ELBOW = 18


@pytest.fixture(scope='module')
def simulation():
    return Simulation('pick_and_place', 0)


def command(weight: float, **values: float) -> MotorCommand:
    arrays = {name: np.full(29, value) for name, value in values.items()}
    return MotorCommand(weight=weight, **arrays)


def torque(law: MotorLaw, asked: MotorCommand, q: float, dq: float) -> np.ndarray:
    drive = law.drive(asked)
    return drive.feedforward - drive.kp * q - drive.kd * dq


def test_a_motor_is_pd_with_the_commanded_gains_and_torque():
    law = MotorLaw(np.zeros(29), np.full(29, 100.0), np.full(29, 4.0))
    asked = command(1.0, q=0.5, dq=0.1, tau=2.0, kp=80.0, kd=3.0)
    arms = torque(law, asked, q=0.2, dq=0.3)[ARM_MOTORS]
    np.testing.assert_allclose(arms, 2.0 + 80.0 * (0.5 - 0.2) + 3.0 * (0.1 - 0.3))


@pytest.mark.parametrize('weight', [0.0, 0.25, 1.0])
def test_the_weight_blends_command_and_built_in_posture(weight):
    law = MotorLaw(np.full(29, -0.2), np.full(29, 100.0), np.full(29, 4.0))
    mixed = torque(law, command(weight, q=0.5, kp=80.0, kd=3.0), q=0.1, dq=0.0)
    alone = torque(law, command(1.0, q=0.5, kp=80.0, kd=3.0), q=0.1, dq=0.0)
    built_in = torque(law, command(0.0), q=0.1, dq=0.0)
    np.testing.assert_allclose(
        mixed[ARM_MOTORS], (weight * alone + (1.0 - weight) * built_in)[ARM_MOTORS]
    )
    np.testing.assert_allclose(mixed[:15], built_in[:15])  # legs and waist never listen


def test_a_weight_beyond_one_counts_as_one():
    law = MotorLaw(np.zeros(29), np.full(29, 100.0), np.full(29, 4.0))
    one, seven = (torque(law, command(w, q=0.5, kp=80.0), 0.0, 0.0) for w in (1.0, 7.0))
    np.testing.assert_allclose(one, seven)


def test_torque_stops_at_the_effort_limit(simulation):
    simulation.reset(0)
    simulation.apply(command(1.0, q=2.0, kp=5000.0, kd=10.0))
    efforts = np.array([joint.effort for joint in ROBOT.joints])
    for _ in range(20):
        simulation.step()
        assert (np.abs(simulation.torques) <= efforts + 1e-9).all()
    assert np.isclose(np.abs(simulation.torques), efforts).any()


def test_arms_reach_a_commanded_posture_and_return_when_the_weight_goes(simulation):
    simulation.reset(0)
    home = simulation.positions[:29].copy()
    target = home.copy()
    target[LEFT_ELBOW] += 0.4
    joints = ROBOT.joints
    asked = MotorCommand(
        q=target,
        kp=np.array([joint.kp for joint in joints]),
        kd=np.array([joint.kd for joint in joints]),
        weight=1.0,
    )
    simulation.apply(asked)
    for _ in range(1000):
        simulation.step()
    assert simulation.positions[LEFT_ELBOW] - home[LEFT_ELBOW] == pytest.approx(0.4, abs=0.1)
    simulation.apply(MotorCommand())
    for _ in range(1000):
        simulation.step()
    np.testing.assert_allclose(simulation.positions[:29], home, atol=0.1)


def test_a_wrong_crc_or_a_number_that_is_none_is_not_listened_to():
    message = LowCmd()
    message.q[LEFT_ELBOW], message.weight = 0.3, 1.0
    data = message.to_bytes()
    received = LowCmd()
    received.load(data)
    heard = motor_command(received)
    assert heard is not None
    assert heard.q[LEFT_ELBOW] == pytest.approx(0.3)
    assert heard.weight == 1.0

    received.load(data[:-1] + bytes([data[-1] ^ 1]))
    assert motor_command(received) is None

    message.tau[LEFT_ELBOW] = np.nan
    received.load(message.to_bytes())
    assert motor_command(received) is None


def test_a_loaded_motor_warms_up_and_cools_down():
    temperatures = Temperatures()
    cold = temperatures.celsius.copy()
    for _ in range(100):
        temperatures.step(np.full(29, 10.0), 0.5)
    warm = temperatures.celsius.copy()
    assert (warm > cold + 10.0).all()
    for _ in range(1000):
        temperatures.step(np.zeros(29), 0.5)
    np.testing.assert_allclose(temperatures.celsius, cold, atol=0.1)
