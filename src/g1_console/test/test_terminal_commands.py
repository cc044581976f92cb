"""What a person without a headset and without ros2 does: episodes, and gripper calibration."""

from collections.abc import Iterator

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from g1_test_support.outside import Outside
from g1_test_support.processes import Program, python


def g1(*words: str) -> Program:
    code = 'import sys; from g1_console.cli import main; sys.exit(main(sys.argv[1:]))'
    return Program(python(code, *words))


@pytest.fixture
def robot(ros_domain) -> Iterator[Outside]:
    with Outside('robot') as robot:
        yield robot


def serve(robot: Outside, name: str, success: bool, message: str) -> None:
    def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = success, message
        return response

    robot.node.create_service(Trigger, name, answer)


def test_an_episode_is_started_saved_and_refused(robot):
    serve(robot, 'recorder/start', False, 'no camera images of head; is the camera on?')
    serve(robot, 'recorder/save', True, 'episode 3 saved')
    with g1('recorder', 'save') as saved:
        assert saved.ended() == 0
    assert 'episode 3 saved' in saved.output
    with g1('recorder', 'start') as refused:
        assert refused.ended() == 1
    assert 'is the camera on?' in refused.output


class Grippers:
    """Tells motor angles as gripper_node does."""

    def __init__(self, robot: Outside) -> None:
        self._robot = robot
        self.angles = {'left': 0.6, 'right': 0.7}
        self._publisher = robot.node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        robot.node.create_timer(0.05, self._publish)

    def _publish(self) -> None:
        header = Header(stamp=self._robot.node.get_clock().now().to_msg())
        self._publisher.publish(
            DiagnosticArray(
                header=header,
                status=[
                    DiagnosticStatus(
                        name=f'gripper_node: {side} gripper',
                        values=[KeyValue(key='motor_angle', value=str(angle))],
                    )
                    for side, angle in self.angles.items()
                ],
            )
        )


def test_a_calibration_prints_the_lines_for_the_file(robot):
    grippers = Grippers(robot)
    serve(robot, 'grippers/release', True, 'torque off until the next command')
    with g1('grippers', '--calibrate') as program:
        for side, closed, opened in (('left', 0.61, 1.62), ('right', 0.65, 1.71)):
            for angle, how in ((closed, 'together'), (opened, 'fully open')):
                program.wait_for(f'Push the {side} fingers {how}')
                grippers.angles[side] = angle
                program.say('')
        assert program.ended() == 0
    for line in ('left_closed: 0.6100', 'left_open: 1.6200', 'right_open: 1.7100'):
        assert line in program.output


def test_fingers_that_were_not_moved_are_told(robot):
    Grippers(robot)
    serve(robot, 'grippers/release', True, 'torque off')
    with g1('grippers', '--calibrate') as program:
        program.say('')
        program.say('')
        assert program.ended() == 1
    assert 'left: expected shut and open at least 0.3 rad apart' in program.output


def test_one_node_runs_in_a_terminal_until_ctrl_c(robot):
    with g1('run', 'g1_control', 'watchdog') as program:
        robot.wait_for(lambda: 'watchdog' in robot.node.get_node_names(), 'the node')
        assert program.interrupt() == 0


def test_a_node_that_is_not_there_is_told_with_those_that_are():
    with g1('run', 'g1_control', 'nobody') as program:
        assert program.ended() == 2
    assert 'g1_control has no executable nobody; choose one of: control_node' in program.output
