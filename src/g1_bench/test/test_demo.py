"""The demo as a person runs it: everything starts, the robot arms, a folder tells what happened."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from g1_bench.launched import run_folder
from g1_data.video import decode
from g1_test_support.waiting import DEADLINE, wait_until


def command(*words: str) -> list[str]:
    return ['g1', 'demo', *words]


def nodes_in(domain: str) -> list[str]:
    """Command lines of the processes that run in a ROS domain, this one and its parents aside."""
    found = []
    for process in Path('/proc').glob('[0-9]*'):
        try:
            variables = (process / 'environ').read_bytes().split(b'\0')
            words = (process / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
        except OSError:
            continue
        if f'ROS_DOMAIN_ID={domain}'.encode() in variables and '_node' in words:
            found.append(words)
    return found


@pytest.mark.timeout(600)
def test_a_run_of_twenty_seconds_or_less_leaves_report_plot_and_videos(tmp_path, ros_domain):
    ran = subprocess.run(
        command('--duration', '20', '--seed', '5', '--out', str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = [line for line in ran.stdout.splitlines() if line.startswith('running')]
    # As it was then, no terminal here; how many a second is for the computer to say.
    assert re.search(r'\d\.\d chunks/s', lines[-1]), lines
    (folder,) = tmp_path.iterdir()
    assert folder.name.endswith('-arrange_flower')
    imagined = 'imagined.mp4'  # where there was time to
    assert {path.name for path in folder.iterdir()} - {imagined} == {
        'report.json',
        'ego.mp4',
        'overview.mp4',
        'joints.png',
        'log.txt',
    }
    content = json.loads((folder / 'report.json').read_text())
    assert (content['task'], content['seed']) == ('arrange_flower', 5)
    shortest = 0 if content['success'] else 18  # as a task that is done ends it
    assert shortest < content['duration_s'] < 22
    assert content['chunks']['count'] > 0
    assert content['measured']['largest_velocity_rad_s']['value'] > 0
    assert all(rate > 0 for rate in content['rates_hz'].values())
    for name in ('ego.mp4', 'overview.mp4'):
        assert next(decode(folder / name)).shape == (480, 640, 3)
    assert nodes_in(str(ros_domain)) == []


def test_ctrl_c_leaves_no_node_behind(tmp_path, ros_domain):
    with (tmp_path / 'output.txt').open('w') as output:
        demo = subprocess.Popen(command('--out', str(tmp_path)), stdout=output, stderr=output)
    log = wait_until(lambda: list(tmp_path.glob('*/log.txt')), 'the log')[0]
    wait_until(lambda: log.read_text().count('started') >= 4, 'four nodes')
    demo.send_signal(signal.SIGINT)
    assert demo.wait(DEADLINE) == 130
    assert 'interrupted' in (tmp_path / 'output.txt').read_text()
    assert nodes_in(str(ros_domain)) == []


def test_a_system_that_ends_is_an_error_with_the_last_words_of_the_node(tmp_path):
    """A `g1 launch` stands in that ends as ours does when a node has died."""
    script = tmp_path / 'g1'
    script.write_text(
        '#!/bin/sh\n'
        'echo "12:00:00 sim_node     | all is well"\n'
        'echo "12:00:00 policy_node  | no such checkpoint"\n'
        'echo "error: policy_node ended with exit code 2, so everything was stopped"\nexit 1\n'
    )
    script.chmod(0o755)
    ran = subprocess.run(
        ['python3', '-c', 'import sys; from g1_bench.demo import main; sys.exit(main([]))'],
        cwd=tmp_path,
        env={**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}'},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ran.returncode == 1
    assert 'the system ended by itself' in ran.stdout
    assert 'no such checkpoint' in ran.stdout and 'all is well' not in ran.stdout
    assert 'log.txt' in ran.stdout


@pytest.mark.parametrize(
    'words',
    [
        ['--task', 'nonsense'],
        ['--seed', 'x'],
        ['--duration', '0'],
        ['--task', 'arrange_flower', 'polcy:=remote'],
        ['--task', 'arrange_flower', 'remote'],
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_made(tmp_path, words):
    ran = subprocess.run(
        command('--out', str(tmp_path / 'runs'), *words),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ran.returncode == 2
    assert words[-1].partition(':=')[0] in ran.stderr
    assert not (tmp_path / 'runs').exists()


def test_two_runs_in_one_second_have_folders_of_their_own(tmp_path):
    folders = {run_folder(tmp_path, 'task') for _ in range(4)}
    assert len(folders) == 4 and all(folder.is_dir() for folder in folders)


@pytest.mark.parametrize('program', ['demo', 'record-demo'])
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, program):
    (tmp_path / 'file').touch()
    ran = subprocess.run(
        ['g1', program, '--out', str(tmp_path / 'file' / 'runs')],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ran.returncode == 2
    assert 'file/runs' in ran.stderr and 'not a directory' in ran.stderr
    assert ran.stderr.count('\n') == 1
