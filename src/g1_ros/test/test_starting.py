"""Before a program loads ROS: what is missing is said, and Ctrl-C is quiet."""

import os
import subprocess
import sys

from g1_ros.starting import middleware_problem


def test_a_middleware_that_is_not_installed_is_one_sentence_with_the_remedy():
    done = subprocess.run(
        [sys.executable, '-c', 'from g1_ros.starting import prepare; prepare(); import rclpy'],
        env={**os.environ, 'RMW_IMPLEMENTATION': 'rmw_nobody_cpp'},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert 'unset RMW_IMPLEMENTATION' in done.stderr
    assert 'ros-jazzy-rmw-nobody-cpp' in done.stderr


def test_a_home_that_cannot_be_written_to_costs_the_place_of_the_log_only(tmp_path):
    (tmp_path / 'home').write_text('no folder')
    script = (
        'from g1_ros.starting import prepare; prepare(); import matplotlib.pyplot, rclpy; '
        'rclpy.init(); print("started"); rclpy.shutdown()'
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith('ROS_LOG')}
    done = subprocess.run(
        [sys.executable, '-c', script],
        env={**environment, 'HOME': str(tmp_path / 'home'), 'TMPDIR': str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, 'started\n'), done.stderr
    assert done.stderr.count('\n') == 1
    assert (
        f'{tmp_path}/home/.ros/log cannot be written to; logs go to {tmp_path}/g1-log-'
        in done.stderr
    )


def test_the_middleware_that_is_installed_passes():
    assert middleware_problem('') == middleware_problem('rmw_fastrtps_cpp') == ''


def test_ctrl_c_while_modules_load_is_quiet():
    done = subprocess.run(
        [
            *(sys.executable, '-c'),
            'from g1_ros.starting import prepare; prepare(); raise KeyboardInterrupt',
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr == ''
