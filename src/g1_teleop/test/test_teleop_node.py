"""teleop_node beside a device whose hands move, and beside none."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from dit4dit_msgs.msg import SafetyStatus
from teleop_robot import ROBOT, SERVICES, Robot


@pytest.fixture
def make_robot() -> Iterator[Callable[..., Robot]]:
    made: list[Robot] = []

    def make(*services: str, headset: bool = True) -> Robot:
        made.append(Robot(services, headset))
        return made[0]

    yield make
    made[0].close()


@pytest.fixture
def robot(make_robot: Callable[..., Robot]) -> Robot:
    return make_robot(*SERVICES)


def test_a_gripped_hand_sends_targets_that_start_where_the_robot_is(robot: Robot) -> None:
    robot.spin_for(0.5)
    assert robot.targets == []
    robot.move()
    first = robot.targets[0]
    assert list(first.joint_names) == list(ROBOT.action_joints)
    np.testing.assert_allclose(first.points[0].positions, ROBOT.home, atol=0.01)
    times = [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in first.points]
    assert times == sorted(set(times))
    assert 0 < times[-1] < 0.15  # the newest target is due soon

    def moved(joints: slice) -> float:
        return float(
            np.abs(np.subtract(robot.targets[-1].points[-1].positions, ROBOT.home))[joints].max()
        )

    robot.move_until(lambda: moved(slice(0, 7)) > 0.02, 'motion of the left arm')
    assert moved(slice(7, 14)) < 1e-6


def test_a_device_that_stops_sending_stops_the_targets_until_the_grip_is_pressed_anew(
    robot: Robot,
) -> None:
    robot.move()
    robot.headset.stopped = True
    robot.spin_until_said('nothing moves: the device stopped sending; plug it in')
    robot.spin_until_rest()
    robot.headset.stopped = False
    robot.assert_rests()
    robot.move()


@pytest.mark.parametrize(
    ('mode', 'told'),
    [
        (SafetyStatus.DISARMED, 'control is DISARMED; arm with: g1 arm'),
        (SafetyStatus.ESTOP, 'control is ESTOP; when it is safe: g1 reset, then g1 arm'),
    ],
)
def test_hands_are_let_go_while_control_has_no_arms(robot: Robot, mode: int, told: str) -> None:
    robot.move()
    robot.mode = mode
    robot.spin_until_said(told)
    robot.spin_until_rest()
    robot.mode = SafetyStatus.HOLD
    robot.assert_rests()
    robot.move()


def test_a_lost_controller_is_said_and_holds_until_a_new_grip(robot: Robot) -> None:
    robot.move()
    robot.headset.tracked = False
    lost = 'left controller is not tracked'
    robot.move_until(lambda: robot.said[-1].startswith(lost), lost)  # of the newest grip
    robot.spin_until_rest()
    robot.headset.tracked = True
    robot.assert_rests()
    robot.move()


def test_a_control_that_holds_on_is_said(robot: Robot) -> None:
    robot.move_until(lambda: 'control does not follow: HOLD' in robot.said, 'what control does')


def test_pause_lets_go_until_the_next_press_and_a_new_grip(robot: Robot) -> None:
    robot.move()
    robot.press('Y', 'nothing moves: paused; press Y to go on')
    robot.spin_until_rest()
    robot.press('Y', 'left hand waits; let go of its grip, then press it again')
    robot.assert_rests()
    robot.move()


def test_a_pause_is_one_of_the_episode_too_where_one_is_recorded(robot: Robot) -> None:
    robot.say_recording()
    robot.move()
    robot.press('Y', 'pause: recorder/pause is done')
    robot.press('Y', 'resume: recorder/resume is done')
    robot.press('left_menu', 'keep: recorder/keep is done')
    assert robot.called == ['recorder/pause', 'recorder/resume', 'recorder/keep']


def test_buttons_call_the_recorder_once_a_press_and_tell_its_answer(robot: Robot) -> None:
    robot.spin_until_ready()
    robot.press('A', 'start: recorder/start is done')
    robot.press('B', 'save: recorder/save is done')
    robot.press('X', 'discard: recorder/discard is done')
    robot.spin_for(0.3)
    assert robot.called == ['recorder/start', 'recorder/save', 'recorder/discard']


def test_the_estop_needs_neither_tracking_nor_recorder_and_lets_go(
    make_robot: Callable[..., Robot],
) -> None:
    robot = make_robot('control/estop')
    robot.move()
    robot.headset.tracked = False
    robot.press('right_stick', 'estop: control/estop is done')
    assert robot.called == ['control/estop']
    robot.spin_until_rest()
    robot.headset.tracked = True
    robot.assert_rests()
    robot.press('A', 'cannot start: there is no recorder/start; is recorder_node running?')


def test_an_estop_without_control_is_said_and_goes_out_when_it_is_back(
    make_robot: Callable[..., Robot],
) -> None:
    robot = make_robot()
    robot.spin_until_ready()
    robot.press('right_stick', 'E-STOP NOT DONE: there is no control/estop')
    robot.serve('control/estop')
    robot.spin_until(lambda: robot.called == ['control/estop'], 'the e-stop')


def test_without_a_device_it_is_said_how_to_start_one(make_robot: Callable[..., Robot]) -> None:
    robot = make_robot(*SERVICES, headset=False)
    robot.spin_until_said('nothing moves: there is no device; start one, as with device:=')


def test_messages_that_are_of_no_operator_are_said_and_move_nothing(
    make_robot: Callable[..., Robot],
) -> None:
    robot = make_robot(*SERVICES, headset=False)
    robot.publish_foreign_hands()
    robot.spin_until_said('teleop/hands and teleop/inputs are not those of an operator: expected 3')
    assert robot.targets == []


def test_foreign_joint_states_do_no_harm(robot: Robot) -> None:
    robot.publish_foreign_joint_states()
    robot.move()


@pytest.mark.parametrize(
    ('parameter', 'value', 'refusal'),
    [
        ('button_save', 'Q', 'button_save: expected str one of: A, B, X, Y, left_menu,'),
        ('button_save', 'A', 'button_start and button_save: expected a button each, got A'),
        ('rate', '10.0', 'rate: expected float from 100.0 to 250.0'),
    ],
)
def test_what_cannot_be_is_refused_at_start(parameter: str, value: str, refusal: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'g1_teleop.nodes.teleop_node'),
            *('--ros-args', '-p', f'{parameter}:={value}'),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert refusal in done.stderr
