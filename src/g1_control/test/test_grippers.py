"""Grippers through the SDK, against emulated servos on pseudo-terminals."""

import itertools
import math
import subprocess
import sys
import time
from functools import partial

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from g1_control.dynamixel import GripperBus
from g1_control.gripper import Calibration, Gripper, GripperSettings
from g1_control.xm430 import describe_errors
from g1_fakes.dynamixel import Port, Servo
from g1_ros.config import config_path
from g1_ros.qos import COMMAND, STATUS
from g1_test_support.waiting import DEADLINE, wait_until

CALIBRATION = Calibration(closed=0.6197, open=1.6214, stroke=0.041)
SETTINGS = GripperSettings(current_limit=0.538, velocity=0.3, temperature_limit=70.0, rest=0.6)
STROKE = CALIBRATION.stroke


class GripperBench:
    """One port with its bus and grippers, run by hand."""

    def __init__(self, path, ids):
        self.port = Port(path, [Servo(number) for number in ids])
        self.grippers = [Gripper(number, CALIBRATION, SETTINGS) for number in ids]
        self.gripper, self.servo = self.grippers[0], self.port.servos[0]
        self.bus = self.connect()

    def connect(self):
        return GripperBus(str(self.port.path), 1_000_000, self.grippers)

    def run_until(self, condition, what, timeout=DEADLINE):
        def act():
            self.bus.cycle(time.monotonic())
            time.sleep(0.005)

        faults = (gripper.fault for gripper in self.grippers)
        wait_until(condition, lambda: f'{what}; {list(faults)}', timeout, act)

    def reach(self, opening):
        self.gripper.command(opening)
        self.run_until(lambda: abs(self.opening - opening) < 2e-4, f'an opening of {opening}')

    @property
    def opening(self):
        return self.gripper.reading.opening if self.gripper.reading else math.nan

    def grips(self, opening):
        return self.gripper.reading.force < -20.0 and abs(self.opening - opening) < 1e-4

    def written(self, register):
        return [e for e in tuple(self.port.log) if e.get('register') == register]


@pytest.fixture
def bench(tmp_path):
    bench = GripperBench(tmp_path / 'port', [9])
    bench.run_until(lambda: bench.gripper.ready, 'the gripper')
    yield bench
    bench.bus.close()
    bench.port.close()


@pytest.fixture
def shared(tmp_path):
    bench = GripperBench(tmp_path / 'port', [1, 2])
    bench.run_until(lambda: all(g.ready for g in bench.grippers), 'both grippers')
    yield bench
    bench.bus.close()
    bench.port.close()


def test_calibration_turns_angles_into_openings_both_ways():
    for opening in (0.0, 0.01, STROKE):
        assert CALIBRATION.opening(CALIBRATION.ticks(opening)) == pytest.approx(opening, abs=4e-5)
    backwards = Calibration(closed=1.0, open=-1.0, stroke=STROKE)
    assert backwards.opening(backwards.ticks(0.03)) == pytest.approx(0.03, abs=4e-5)
    with pytest.raises(ValueError, match='between -pi and pi'):
        Calibration(closed=0.0, open=4.0, stroke=STROKE)
    with pytest.raises(ValueError, match='rad apart'):
        Calibration(closed=1.0, open=1.05, stroke=STROKE)


def test_hardware_errors_are_told_in_words():
    assert describe_errors(0) == ''
    assert describe_errors(1 << 5) == 'overload'
    assert describe_errors(0b101) == 'input voltage out of range, overheating'
    assert describe_errors(0x80) == 'bits 0x80'


@pytest.mark.parametrize('ticks', [1000, 4096, -4096])
def test_a_servo_off_its_calibration_is_a_fault_without_torque(bench, ticks):
    bench.reach(0.02)
    servo = bench.servo
    servo.position, servo.stops = servo.position + ticks, tuple(s + ticks for s in servo.stops)
    bench.run_until(lambda: 'its stroke is 0 to 41' in bench.gripper.fault, 'the fault')
    bench.run_until(lambda: servo['torque'] == 0, 'torque off')
    bench.gripper.command(0.01)
    count = len(bench.written('goal_position'))
    for _ in range(5):
        bench.bus.cycle(time.monotonic())
    assert servo['torque'] == 0
    assert len(bench.written('goal_position')) == count
    servo.position, servo.stops = servo.position - ticks, tuple(s - ticks for s in servo.stops)
    bench.run_until(lambda: not bench.gripper.fault, 'the end of the fault')
    bench.reach(0.01)


def test_it_sets_the_servo_up_and_leaves_torque_off_until_commanded(bench):
    servo = bench.servo
    assert (servo['operating_mode'], servo['current_limit'], servo['goal_current']) == (5, 200, 200)
    assert servo['torque'] == 0
    assert bench.gripper.fault == ''
    bench.reach(0.03)
    assert servo['torque'] == 1
    bench.reach(0.005)


def test_the_goal_starts_where_the_fingers_stand_and_moves_no_faster_than_set(bench):
    bench.reach(0.0)
    (engaged,) = bench.written('torque')
    assert abs(engaged['goal'] - engaged['position']) <= 1
    goals = [engaged['goal'], *(e['value'] for e in bench.written('goal_position'))]
    fastest = SETTINGS.velocity / CALIBRATION.ratio * 4096 / (2 * math.pi)  # [ticks/s]
    assert max(abs(a - b) for a, b in itertools.pairwise(goals)) <= 0.05 * fastest + 1


def test_commands_are_clamped_to_the_stroke_and_must_be_finite(bench):
    assert not bench.gripper.command(math.nan)
    assert not bench.gripper.command(math.inf)
    assert bench.gripper.wanted is None
    bench.gripper.command(1.0)
    assert bench.gripper.wanted == STROKE
    bench.gripper.command(-1.0)
    assert bench.gripper.wanted == 0.0


def test_an_object_stops_the_fingers_and_the_force_says_how_hard_they_grip(bench):
    bench.reach(STROKE)
    bench.port.do('object', CALIBRATION.ticks(0.02))
    bench.gripper.command(0.0)
    bench.run_until(lambda: bench.grips(0.02), 'the grip')
    assert bench.gripper.reading.current == pytest.approx(-0.538, abs=1e-3)
    assert bench.gripper.fault == ''


def test_unplugged_it_says_so_and_comes_back_by_itself_where_it_was(bench):
    bench.reach(0.03)
    bench.port.do('unplug')
    bench.run_until(lambda: 'is gone' in bench.gripper.fault, 'a fault')
    bench.run_until(lambda: 'is it plugged in?' in bench.gripper.fault, 'word of the missing port')
    bench.gripper.command(0.0)
    assert bench.servo['torque'] == 1  # holds what it holds
    written = len(bench.port.log)
    bench.port.do('plug_in')
    bench.run_until(lambda: bench.gripper.fault == '', 'the reconnection')
    bench.run_until(lambda: abs(bench.opening) < 2e-4, 'the command given meanwhile')
    since = list(bench.port.log)[written:]
    goals = [e['value'] for e in since if e.get('register') == 'goal_position']
    assert abs(CALIBRATION.opening(goals[0]) - 0.03) < 0.05 * SETTINGS.velocity + 1e-4
    assert bench.gripper.connections == 2


def test_after_a_power_cut_the_servo_is_set_up_again_and_nothing_jumps(bench):
    bench.reach(0.03)
    bench.port.do('power_off')
    bench.run_until(lambda: 'no answer from servo 9' in bench.gripper.fault, 'a fault')
    bench.servo.position = float(CALIBRATION.ticks(0.01))  # somebody moved the fingers
    bench.servo.write(11, b'\x03')  # and the mode is lost
    bench.port.do('power_on')
    bench.run_until(lambda: bench.gripper.fault == '', 'the reconnection')
    bench.run_until(lambda: abs(bench.opening - 0.03) < 2e-4, 'the command that still stands')
    assert bench.servo['operating_mode'] == 5
    engaged = bench.written('torque')[-1]
    assert engaged['goal'] == engaged['position'] == CALIBRATION.ticks(0.01)


def test_an_overloaded_servo_rests_is_rebooted_and_goes_on(bench):
    bench.reach(0.03)
    bench.port.do('overload')
    overloaded = time.monotonic()
    bench.run_until(lambda: 'overload' in bench.gripper.fault, 'a fault')
    bench.run_until(lambda: bench.gripper.fault == '', 'the reboot')
    assert time.monotonic() - overloaded >= SETTINGS.rest
    bench.reach(0.01)
    assert [e['event'] for e in bench.port.log].count('reboot') == 1


def test_a_broken_encoder_is_left_to_a_person(bench):
    bench.port.do('encoder')
    bench.run_until(lambda: 'motor encoder; switch it off and on' in bench.gripper.fault, 'a fault')
    until = time.monotonic() + 2 * SETTINGS.rest
    bench.run_until(lambda: time.monotonic() > until, 'a while')
    assert 'reboot' not in [e['event'] for e in bench.port.log]


def test_a_hot_motor_is_a_fault_until_it_has_cooled(bench):
    bench.port.do('temperature', 75.0)
    bench.run_until(lambda: bench.gripper.fault == 'motor at 75 degC, allowed is 70', 'a fault')
    bench.port.do('temperature', 68.0)
    bench.run_until(lambda: '68' in bench.gripper.fault, 'still a fault')
    bench.port.do('temperature', 60.0)
    bench.run_until(lambda: bench.gripper.fault == '', 'its end')


def test_single_lost_or_spoilt_answers_are_no_fault(bench):
    bench.reach(0.03)
    for _ in range(5):
        for what in ('drop', 'corrupt'):
            lost = bench.port.bus.instructions
            bench.port.do(what, 1)
            bench.run_until(lambda n=lost: bench.port.bus.instructions > n + 4, 'a few cycles')
            assert bench.gripper.fault == ''
    assert bench.gripper.connections == 1


def test_answers_later_than_the_sdk_waits_are_never_taken_for_others(bench):
    bench.reach(0.03)
    bench.port.do('delay', 0.05)
    until = time.monotonic() + 1.5
    seen = []

    def late():
        seen.append(bench.opening)
        return time.monotonic() > until

    bench.run_until(late, 'a while')
    bench.port.do('delay', 0.0)
    bench.run_until(lambda: bench.gripper.fault == '', 'the reconnection')
    bench.reach(0.01)
    assert max(abs(opening - 0.03) for opening in seen) < 3e-4


def test_on_a_shared_line_one_dead_gripper_leaves_the_other_working(shared):
    first, second = shared.grippers
    shared.reach(0.02)
    shared.port.do('power_off', servo=1)
    shared.run_until(lambda: 'no answer from servo 1' in first.fault, 'a fault')
    second.command(0.01)
    shared.run_until(lambda: abs(second.reading.opening - 0.01) < 2e-4, 'the other to move')
    assert second.fault == ''
    shared.port.do('power_on', servo=1)
    shared.run_until(lambda: first.fault == '', 'the reconnection')


def test_restarted_while_it_holds_an_object_it_goes_on_holding(bench):
    bench.reach(STROKE)
    bench.port.do('object', CALIBRATION.ticks(0.02))
    bench.gripper.command(0.0)
    bench.run_until(lambda: bench.grips(0.02), 'the grip')
    bench.bus.close()
    bench.gripper = Gripper(9, CALIBRATION, SETTINGS)
    bench.grippers = [bench.gripper]
    bench.bus = bench.connect()
    bench.run_until(lambda: bench.gripper.ready and bench.gripper.fresh, 'the gripper')
    until = time.monotonic() + 0.3
    bench.run_until(lambda: time.monotonic() > until, 'a while')
    assert bench.gripper.reading.force < -20.0
    bench.gripper.release()
    bench.run_until(lambda: bench.servo['torque'] == 0, 'the release')


class Client:
    """Hears and commands gripper_node over ROS."""

    def __init__(self):
        self.node = rclpy.create_node('client')
        self.states: dict[str, JointState] = {}
        self.faults: dict[str, str] = {}
        self.diagnostics: dict[str, dict[str, str]] = {}
        self.commands = {}
        for side in ('left', 'right'):
            self.commands[side] = self.node.create_publisher(
                JointState, f'{side}_gripper/command', COMMAND
            )
            self.node.create_subscription(
                JointState, f'{side}_gripper/state', partial(self._keep, side), COMMAND
            )
            self.node.create_subscription(
                String,
                f'{side}_gripper/fault',
                partial(self._keep_fault, side),
                STATUS,
            )
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnose, 10)

    def _keep(self, side, message):
        self.states[side] = message

    def _keep_fault(self, side, message):
        self.faults[side] = message.data

    def _diagnose(self, message):
        for status in message.status:
            self.diagnostics[status.name] = {pair.key: pair.value for pair in status.values}

    def command(self, side, *position):
        self.commands[side].publish(JointState(name=[f'{side}_gripper_joint'], position=position))

    def wait_for(self, condition, what, act=lambda: None, timeout=DEADLINE):
        def spin():
            act()
            rclpy.spin_once(self.node, timeout_sec=0.02)

        wait_until(condition, lambda: f'{what}; {self.faults}', timeout, spin)


def test_the_node_reports_moves_and_recovers(ros_domain, tmp_path):
    ports = {side: Port(tmp_path / side, [Servo(9)]) for side in ('left', 'right')}
    process = subprocess.Popen(
        [
            *(sys.executable, '-c', 'from g1_control.nodes.gripper_node import main; main()'),
            *('--ros-args', '--params-file', str(config_path('grippers.yaml'))),
            *(w for side, p in ports.items() for w in ('-p', f'{side}_port:={p.path}')),
        ]
    )
    rclpy.init()
    client = Client()
    try:
        client.wait_for(lambda: client.faults == {'left': '', 'right': ''}, 'both grippers')
        client.command('right', math.nan)
        client.command('right')
        client.wait_for(
            lambda: (
                'left' in client.states and abs(client.states['left'].position[0] - 0.03) < 3e-4
            ),
            'the left gripper to open',
            act=lambda: client.command('left', 0.03),
        )
        assert client.states['left'].name == ['left_gripper_joint']
        assert ports['right'].servos[0]['torque'] == 0  # nonsense is no command

        ports['left'].do('unplug')
        client.wait_for(lambda: str(ports['left'].path) in client.faults['left'], 'a fault')
        assert client.faults['right'] == ''
        ports['left'].do('plug_in')
        client.wait_for(lambda: client.faults['left'] == '', 'its end')
        name = 'gripper_node: left gripper'
        client.wait_for(
            lambda: client.diagnostics.get(name, {}).get('connections') == '2', 'diagnostics'
        )
        assert client.diagnostics[name]['hardware_error'] == 'none'

        release = client.node.create_client(Trigger, 'grippers/release')
        assert release.wait_for_service(5)
        release.call_async(Trigger.Request())
        client.wait_for(lambda: ports['left'].servos[0]['torque'] == 0, 'the release')
    finally:
        process.terminate()
        assert process.wait(timeout=DEADLINE) == 0
        client.node.destroy_node()
        rclpy.shutdown()
        for port in ports.values():
            port.close()


def test_two_servos_of_one_id_on_one_port_are_refused(ros_domain):
    code = 'from g1_control.nodes.gripper_node import main; main()'
    ports = [word for side in ('left', 'right') for word in ('-p', f'{side}_port:=/dev/nowhere')]
    result = subprocess.run(
        [sys.executable, '-c', code, '--ros-args', *ports],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert result.returncode == 2
    assert 'needs an id of its own' in result.stderr
