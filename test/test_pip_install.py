"""On a GPU machine without ROS: plain pip installs what trains and looks into policies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ('dit4dit_policy', 'g1_data', 'g1_description')

#: Four demonstrations of the G1: the right arm lifts while the picture gets brighter.
RECORD = """
import numpy as np
from g1_data import DatasetWriter, Schema
from g1_description import load_embodiment

robot = load_embodiment('g1_aloha')
home = robot.home(robot.action_names)
with DatasetWriter.create('data/lift', Schema.of(robot, {'head': (96, 128)})) as writer:
    for _ in range(4):
        with writer.episode('Lift the right arm.') as episode:
            for k in range(24):
                target = home.copy()
                target[7] -= 0.02 * k
                image = np.full((96, 128, 3), 40 + 5 * k, np.uint8)
                episode.add(target, target, {'head': image})
"""

SETTINGS = """
preset: nano
datasets: {data/lift: 1}
output: runs/lift
val_fraction: 0.25
autoencoder_steps: 5
variants: 1
steps: 20
batch_size: 4
video_batch_size: 2
evaluate_every: 20
threads: 1
bf16: false
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_dit4dit_trains_where_there_is_no_ros(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k in ('HOME', 'LANG') or 'PIP' in k}
    environment |= {'PATH': '/usr/bin:/bin', 'XDG_CACHE_HOME': str(tmp_path / 'cache')}
    programs = tmp_path / 'venv' / 'bin'

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1500
        )
        assert done.returncode == 0, f'{command}\n{done.stdout}\n{done.stderr}'
        return done.stdout

    run(sys.executable, '-m', 'venv', 'venv')
    sources = [str(ROOT / 'src' / package) for package in PACKAGES]
    run(str(programs / 'pip'), 'install', '--quiet', *sources)
    run(str(programs / 'python'), '-c', RECORD)
    (tmp_path / 'train.yaml').write_text(SETTINGS)
    dit4dit = str(programs / 'dit4dit')
    run(dit4dit, 'train', '--config', 'train.yaml')
    assert (tmp_path / 'runs/lift/checkpoint/model.safetensors').is_file()
    told = run(dit4dit, 'info', 'runs/lift/checkpoint')
    assert 'g1_aloha' in told and 'Lift the right arm.' in told
    assert 'nano' in run(dit4dit, 'info', 'nano')
    assert 'a chunk' in run(dit4dit, 'bench', '--rounds', '2')
    video = 'data/lift/videos/chunk-000/observation.images.ego_view/episode_000000.mp4'
    task = ('--task', 'Lift the right arm.', '--steps', '2')
    run(dit4dit, 'imagine', '--checkpoint', 'runs/lift/checkpoint', '--clip', video, *task)
    assert (tmp_path / 'future.mp4').stat().st_size > 1000
