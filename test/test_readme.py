"""README followed word by word in an empty clone, typed into bash and into zsh.

The clone lies in a folder with a space, HOME is empty, and the environment is that of somebody who
has just logged in. What takes hours is made tiny (`SHORTER`, and the steps of the training); the
robot is that of Unitree's SDK, on lo, its camera a video, and it has no grippers.
`pytest -s test/test_readme.py` prints each command with its exit code, its time and its last words.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from g1_test_support.processes import Program
from g1_test_support.sdk_robot import sdk_robot
from g1_test_support.terminal import Terminal

ROOT = Path(__file__).parents[1]
VIDEO = 'docs/first-motion/videos/chunk-000/observation.images.ego_view/episode_000000.mp4'
PROGRAMS = ('make', 'source', 'g1', 'dit4dit')
SHORTER = (
    ('--episodes 210', '--episodes 20'),
    ('--episodes 50', '--episodes 2'),
)
#: With robot:=g1, here.
HERE = f'camera:=replay camera_file:={VIDEO} gripper:=none'
LONG = 3600.0  # for one command, on a busy computer [s]
#: Ends with 1, as the robot's network is not here, and with 130 by Ctrl-C.
ALLOWED = {'g1 check': 1, 'g1 status': 130}


def commands() -> Iterator[str]:
    """Those of README in its order: lines of its blocks, and those with arguments in its text."""
    text = (ROOT / 'README.md').read_text()
    for block, words in re.findall(
        r'```bash\n(.*?)```|`((?:make|g1) [^`]*[=-][^`]*)`', text, re.DOTALL
    ):
        for line in [words] if words else block.splitlines():
            parts = re.split(r'\s{3,}(?!#)', line) if '   g1 ' in line else [line]
            yield from (part for part in parts if part.startswith(PROGRAMS))


def fresh_environment(home: Path, domain: int) -> dict[str, str]:
    """Of somebody who has just logged in: nothing of this suite, and a HOME of their own."""
    ours = str(ROOT.resolve())
    path = [
        p
        for p in os.environ['PATH'].split(':')
        if not p.startswith((ours, os.environ['VIRTUAL_ENV']))
    ]
    kept = {k: v for k, v in os.environ.items() if k.startswith(('PIP_', 'SSL_', 'LANG'))}
    home.mkdir()
    (home / '.zshrc').touch()  # or zsh asks what to write into it
    return kept | {
        'HOME': str(home),
        'PATH': ':'.join(path),
        'TERM': 'xterm',
        'ROS_DOMAIN_ID': str(domain),
        'PYTEST_ADDOPTS': '-k test_documents',  # of `make test`; all of it would be this test too
    }


class Reader:
    """Somebody with README and as many terminals as it asks for."""

    def __init__(
        self, shell: str, clone: Path, variables: dict[str, str], open_: ExitStack
    ) -> None:
        self._shell, self._clone, self._variables, self._open = shell, clone, variables, open_
        self._terminal = self._another()
        self._robot: Program | None = None
        self._systems: list[Terminal] = []
        self._sourced = ''

    def _another(self) -> Terminal:
        terminal = self._open.enter_context(Terminal(self._shell, self._clone, self._variables))
        if self._shell == 'zsh':
            terminal.type('setopt interactive_comments')
            terminal.prompt()
        return terminal

    def follow(self, line: str) -> None:
        begun = time.monotonic()
        code, said = self._do(line)
        last = ' | '.join([text.strip() for text in said.splitlines() if text.strip()][-4:-1])
        print(f'{code} {time.monotonic() - begun:5.0f} s  {line}\n             {last}', flush=True)
        assert code in (0, ALLOWED.get(' '.join(line.split()[:2]))), said

    def _do(self, line: str) -> tuple[int, str]:
        for long, short in SHORTER:
            line = line.replace(long, short)
        if line.startswith('g1 launch') and '--show-args' not in line:
            return self._launch(line)
        if line.startswith('g1 status'):
            return self._watch(line)
        if line.startswith('make'):
            self.end_systems()  # or those are refused in this domain
        self._terminal.type(line)
        code = self._terminal.prompt(LONG)
        if line.startswith('source'):
            self._sourced = line
        return code, self._terminal.said

    def _launch(self, line: str) -> tuple[int, str]:
        """In a terminal of its own; the systems before end, but for the other computer's."""
        if 'machine:=workstation' not in line:
            self.end_systems()
        words = line.partition(' #')[0].replace(':=eth0', ':=lo')
        if 'robot:=g1' in words:
            if self._robot is None:
                self._robot = self._open.enter_context(
                    sdk_robot(int(self._variables['ROS_DOMAIN_ID']))
                )
            if 'machine:=' not in words:
                words = f'{words} {HERE}'
        terminal = self._another()
        terminal.type(self._sourced)
        assert terminal.prompt() == 0
        terminal.type(words)
        terminal.wait_for('is loaded' if 'machine:=' in words else 'ready: g1 arm', LONG)
        self._systems.append(terminal)
        return 0, f'{terminal.said}\n'

    def _watch(self, line: str) -> tuple[int, str]:
        self._terminal.type(line)
        self._terminal.wait_for('watches, heard', 120.0)  # control is heard, and its watchdog
        self._terminal.interrupt()
        return self._terminal.prompt(60.0), self._terminal.said

    def end_systems(self) -> None:
        while self._systems:
            system = self._systems.pop()
            system.interrupt()
            assert system.prompt(60.0) == 0, system.said


def make_short(clone: Path) -> None:
    """The training."""
    training = clone / 'config' / 'train_nano.yaml'
    steps = r'(?m)^(steps|autoencoder_steps|evaluate_every): \d+'
    training.write_text(re.sub(steps, r'\1: 4', training.read_text()))


def set_the_world(clone: Path) -> None:
    """As docs/robot.md asks for before the arms of a real robot are armed."""
    safety = clone / 'config' / 'safety.yaml'
    world = '    world_off: [table_height, workspace, hand_speed, contact_torque]\n'
    late = '    missed_deadlines: 250\n'  # this computer does much else
    kept = re.sub(r'(?m)^    missed_deadlines: .*\n', '', safety.read_text())
    safety.write_text(kept.rstrip() + '\n' + world + late)


@pytest.mark.slow
@pytest.mark.timeout(2 * 3600)
@pytest.mark.parametrize('shell', ['bash', 'zsh'])
def test_every_command_of_the_readme_runs(shell, tmp_path, ros_domain):
    if shutil.which(shell) is None:
        pytest.skip(f'{shell} is not installed')
    clone = tmp_path / 'my robots' / 'suite'
    subprocess.run(['git', 'clone', '--quiet', str(ROOT), str(clone)], check=True)
    make_short(clone)
    set_the_world(clone)
    variables = fresh_environment(tmp_path / 'home', ros_domain)
    print(f'{shell}, in {clone}')
    with ExitStack() as opened:
        reader = Reader(shell, clone, variables, opened)
        for line in commands():
            reader.follow(line)
        reader.end_systems()
    made = {path.name for path in (clone / 'runs').iterdir()}
    assert {'mine', 'sheet.png'} <= made
    assert any(name.endswith('arrange_flower') for name in made)
