"""`run` ends cleanly on a signal and refuses bad parameters in one line."""

import os
import signal
import subprocess
import sys

import pytest
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter

from g1_test_support.outside import Outside
from g1_test_support.waiting import DEADLINE, wait_until

PROGRAM = """
import sys
from dataclasses import dataclass
from g1_ros.main import run
from g1_ros.parameters import declare, parameter
from rclpy.node import Node

@dataclass(frozen=True)
class Parameters:
    rate: float = parameter(10.0, unit='Hz', minimum=1.0, maximum=60.0, description='Rate.')

class Example(Node):
    def __init__(self):
        super().__init__('example')
        declare(self, Parameters)
        self.timer = self.create_timer(0.05, self.first)

    def first(self):
        print('started', flush=True)
        self.timer.cancel()
        self.create_timer(0.05, lambda: None)

    def destroy_node(self):
        print('cleaned up', flush=True)
        super().destroy_node()

sys.exit(run(Example, sys.argv))
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number):
    process = subprocess.Popen(
        [sys.executable, '-c', PROGRAM], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout.readline() == 'started\n'
    process.send_signal(number)
    output, _ = process.communicate(timeout=DEADLINE)
    assert output == 'cleaned up\n'
    assert process.returncode == 0


CONVERTING = PROGRAM.replace('lambda: None', 'self.convert').replace(
    '    def destroy_node',
    """    def convert(self):
        print('converting', flush=True)
        for _ in range(20000):
            deserialize_message(MESSAGE, JointState)

    def destroy_node""",
)
CONVERTING = f"""
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState
MESSAGE = serialize_message(JointState(name=['joint'] * 30, position=[0.0] * 30))
{CONVERTING}"""


def test_a_signal_in_the_midst_of_a_callback_ends_it_cleanly():
    process = subprocess.Popen(
        [sys.executable, '-c', CONVERTING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == 'started\n'
    assert process.stdout.readline() == 'converting\n'
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=DEADLINE)
    assert (output, errors, process.returncode) == ('cleaned up\n', '', 0)


def test_a_bad_parameter_is_one_line():
    result = subprocess.run(
        [sys.executable, '-c', PROGRAM, '--ros-args', '-p', 'rate:=100.0'],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert result.returncode == 2
    assert (
        result.stderr == 'error: parameter rate: expected float from 1.0 to 60.0 [Hz], got 100.0\n'
    )


def test_it_cleans_up_when_its_launcher_is_killed(tmp_path):
    """The launcher stands between: it starts the node and is killed."""
    output = tmp_path / 'output.txt'
    script = (
        'import os, subprocess, sys; '
        f'environment = {{**os.environ, "G1_LAUNCHER": str(os.getpid())}}; '
        f'subprocess.Popen([sys.executable, "-c", {PROGRAM!r}], env=environment, '
        f'stdout=open({str(output)!r}, "w")).wait()'
    )
    launcher = subprocess.Popen([sys.executable, '-c', script])
    wait_until(lambda: output.exists() and 'started' in output.read_text(), 'its start')
    launcher.kill()
    launcher.wait()
    wait_until(lambda: 'cleaned up' in output.read_text(), 'its end')


def test_ctrl_c_while_it_starts_is_quiet():
    slow = PROGRAM.replace('declare(self', 'print("starting", flush=True); time.sleep(60); (self')
    process = subprocess.Popen(
        [sys.executable, '-c', f'import time\n{slow}'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == 'starting\n'
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)
    assert (errors, process.returncode) == ('', 0)


def test_the_clock_of_a_running_node_is_not_changed(ros_domain):
    process = subprocess.Popen(
        [sys.executable, '-c', PROGRAM], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    outside = Outside('outside', ros_domain)
    try:
        assert process.stdout.readline() == 'started\n'
        change = Parameter('use_sim_time', value=True).to_parameter_msg()
        request = SetParameters.Request(parameters=[change])
        (result,) = outside.request(SetParameters, 'example/set_parameters', request).results
        assert not result.successful
        assert 'use_sim_time is read at the start only' in result.reason
        asked = GetParameters.Request(names=['use_sim_time'])
        (value,) = outside.request(GetParameters, 'example/get_parameters', asked).values
        assert value.bool_value is False
    finally:
        outside.close()
        process.kill()
        process.wait()
