"""`g1 launch`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from g1_bringup.arguments import check, given_by
from g1_bringup.launcher import start
from g1_bringup.system import ArgumentError, System
from g1_bringup.systems import find, systems

RUN_HELP = """usage: g1 run PACKAGE EXECUTABLE [--ros-args ...]

Runs one node in this terminal until Ctrl-C, like ros2 run where that is:
  g1 run g1_control watchdog
  g1 run g1_sim sim_node --ros-args --params-file config/sim.yaml"""


def launch(words: list[str]) -> int:
    """`g1 launch FILE name:=value ...`: by `ros2 launch` where there is one, else as processes."""
    if not words:
        raise ArgumentError(f'which file? one of: {", ".join(f"{n}.launch.py" for n in systems())}')
    file, *rest = words
    if file in ('-h', '--help'):
        print(help_text())
        return 0
    system = find(file)
    if '-h' in rest or '--help' in rest:
        print(f'{file}: {system.description}\n\n{show_arguments(system, rest)}')
        return 0
    if '--show-args' in rest or '-s' in rest:
        print(show_arguments(system, rest))
        return 0
    given = given_by(rest)
    values = check(system, given)
    if shutil.which('ros2') and importlib.util.find_spec('launch_ros'):
        given_words = [f'{name}:={value}' for name, value in given.items() if value]
        sys.stdout.flush()
        os.execvp('ros2', ['ros2', 'launch', 'g1_bringup', file, *given_words])
    return start(system, values)


def run_node(words: list[str]) -> int:
    """`g1 run PACKAGE EXECUTABLE ...`: one node in this terminal, as `ros2 run` would."""
    if not words or words[0] in ('-h', '--help'):
        print(RUN_HELP)
        return 0
    package, *rest = words
    try:
        folder = Path(get_package_prefix(package), 'lib', package)
    except (PackageNotFoundError, ValueError):
        raise ArgumentError(f'no package {package}; g1 run --help shows an example') from None
    there = sorted(path.name for path in folder.glob('*') if os.access(path, os.X_OK))
    if rest and rest[0] in there:
        sys.stdout.flush()
        os.execv(folder / rest[0], [str(folder / rest[0]), *rest[1:]])
    asked = f' {rest[0]}' if rest else ''
    raise ArgumentError(
        f'{package} has no executable{asked}; choose one of: {", ".join(there) or "none"}'
    )


def help_text() -> str:
    """What can be launched, and how."""
    files = [f'  {name}.launch.py\n      {s.description}' for name, s in systems().items()]
    return '\n'.join(
        [
            'usage: g1 launch FILE [name:=value ...]',
            '',
            *files,
            '',
            'g1 launch FILE --show-args shows what a file takes; Ctrl-C stops all in 5 s.',
            'Where ros2 launch is installed, that does it: ros2 launch g1_bringup FILE.',
        ]
    )


def show_arguments(system: System, words: Sequence[str] = ()) -> str:
    """The arguments of a system, word for word as `ros2 launch --show-args` prints them.

    words: those given beside it, as robot:=g1, for which there is more to choose from.
    """
    lines = ["Arguments (pass arguments as '<name>:=<value>'):"]
    for argument in system.arguments:
        description = argument.description
        if offered := argument.offered(words):
            description += f' Valid choices are: {list(offered)}'
        lines += ['', f"    '{argument.name}':", f'        {description}']
        lines += [f"        (default: '{argument.default_text}')"]
    return '\n'.join(lines if system.arguments else [*lines, '', '  No arguments.'])
