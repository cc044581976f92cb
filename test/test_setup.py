"""scripts/setup.sh where it cannot do its work, and the setup.bash that it writes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def setup_in(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Its end, in a folder that holds nothing else."""
    folder.joinpath('scripts').mkdir(parents=True)
    shutil.copy(ROOT / 'scripts/setup.sh', folder / 'scripts')
    environment = {k: v for k, v in os.environ.items() if not k.startswith(('ROS_', 'AMENT'))}
    return subprocess.run(
        [folder / 'scripts/setup.sh'],
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_path_that_lists_of_paths_cannot_hold_is_refused_before_anything_is_made(tmp_path):
    done = setup_in(tmp_path / 'my:robot')
    assert done.returncode == 1
    assert 'has a colon in it' in done.stderr and "my:robot'" in done.stderr
    assert [path.name for path in (tmp_path / 'my:robot').iterdir()] == ['scripts']


def test_a_folder_that_was_moved_is_set_up_again(tmp_path):
    clone = tmp_path / 'clone'
    for old in ('.venv/bin', 'install'):
        (clone / old).mkdir(parents=True)
    (clone / '.venv/bin/activate').write_text('VIRTUAL_ENV="/elsewhere/.venv"')
    done = setup_in(clone)
    assert done.returncode != 0  # without requirements/
    assert 'was moved or copied since its set-up' in done.stderr
    assert not (clone / 'install').exists()


@pytest.mark.parametrize(
    ('python', 'said'),
    [
        ('python9.9', 'PYTHON=python9.9 is no program here; Python 3.10 to 3.13 is needed'),
        ('false', 'Python 3.10 to 3.13 is needed, false is'),
    ],
)
def test_another_python_is_named(tmp_path, python, said):
    done = setup_in(tmp_path / 'clone', PYTHON=python)
    assert done.returncode == 1
    assert said in done.stderr
    assert [path.name for path in (tmp_path / 'clone').iterdir()] == ['scripts']


def sourced(shell: str, script: str) -> subprocess.CompletedProcess[str]:
    """What the shell says, from a fresh environment."""
    return subprocess.run(
        [shell, '-c', script],
        cwd=ROOT,
        env={'PATH': '/usr/bin:/bin', 'HOME': os.environ['HOME']},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_shell_that_cannot_is_told():
    """dash stands for all of them."""
    done = sourced('dash', '. ./setup.bash')
    assert done.returncode != 0
    assert 'setup.bash is for bash and zsh' in done.stderr


@pytest.mark.parametrize('shell', ['bash', 'zsh'])
def test_it_can_be_sourced_where_unset_variables_are_errors(shell):
    if shutil.which(shell) is None:
        pytest.skip(f'{shell} is not installed')
    script = 'set -u; source setup.bash; case $- in *u*) echo still;; esac; command -v g1'
    done = sourced(shell, script)
    assert done.returncode == 0, done.stderr
    assert 'still' in done.stdout and '/g1' in done.stdout


def test_no_program_names_its_interpreter_by_a_path():
    """A path with a space in it would start nothing."""
    programs = [path for path in ROOT.glob('install/*/lib/*/*') if path.is_file()]
    first = {p.name: p.read_bytes()[:100].partition(b'\n')[0] for p in programs if p.suffix == ''}
    assert {name: line for name, line in first.items() if line != b'#!/usr/bin/env python3'} == {}
    assert {'control_node', 'policy_node', 'watchdog'} <= first.keys()
