"""The command `g1`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence

from .launcher import start
from .system import ArgumentError, System, check, find, systems

USAGE = """usage: g1 COMMAND ...

  launch FILE [name:=value ...]   start a system; FILE is one of:
                                  {files}
  launch FILE --show-args         the arguments it takes
  check                           is everything ready for the arms to move?     (g1 check --help)
  status                          how the running system and its recording are  (g1 status --help)
  arm | disarm | estop | reset    ask the control of a running robot, and wait until it is done
  bench [PART ...]                how fast the suite is on this computer        (g1 bench --help)
  demo                            run a task in simulation and write a report   (g1 demo --help)
  record-demo                     record a scripted operator in simulation (... --help)
  faults                          inject every fault, time the reactions        (g1 faults --help)
  expert TASK                     record scripted demonstrations in simulation  (g1 expert --help)
  dataset                         look at, convert and replay datasets          (g1 dataset --help)
"""

#: `g1 NAME` calls control/NAME.
SERVICES = ('arm', 'disarm', 'estop', 'reset')


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; 2 when the command line is wrong."""
    name, *rest = arguments or sys.argv[1:] or ['--help']
    try:
        if name == 'launch':
            return _launch(rest)
        if name in SERVICES and not rest:
            from .services import command

            return command(name)
        if name == 'check':
            from .check import main as check_all

            return check_all(rest)
        if name == 'status':
            from .status import main as status

            return status(rest)
        if name == 'bench':
            from .bench import main as bench

            return bench(rest)
        if name == 'demo':
            from .demo import main as demo

            return demo(rest)
        if name == 'record-demo':
            from .record_demo import main as record_demo

            return record_demo(rest)
        if name == 'faults':
            from .faults import main as faults

            return faults(rest)
        if name == 'expert':
            from g1_sim.expert import main as expert

            return expert(rest)
        if name == 'dataset' and rest[:1] == ['replay']:
            from .episode_replay import main as replay

            return replay(rest[1:])
        if name == 'dataset':
            from g1_data.cli import main as dataset

            return dataset(rest)
    except (ArgumentError, FileNotFoundError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    usage = USAGE.format(files=' '.join(f'{name}.launch.py' for name in systems()))
    if name in ('-h', '--help'):
        print(usage, end='')
        return 0
    print(f'error: no command {" ".join([name, *rest])!r}\n\n{usage}', end='', file=sys.stderr)
    return 2


def _launch(words: list[str]) -> int:
    if not words:
        raise ArgumentError(f'which file? one of: {", ".join(f"{n}.launch.py" for n in systems())}')
    file, *rest = words
    system = find(file)
    if '--show-args' in rest or '-s' in rest:
        print(show_arguments(system))
        return 0
    given = {}
    for word in rest:
        name, separator, value = word.partition(':=')
        if not separator or not name:
            raise ArgumentError(f'malformed argument {word!r}; expected name:=value')
        given[name] = value
    values = check(system, given)
    if shutil.which('ros2') and importlib.util.find_spec('launch_ros'):
        given_words = [f'{name}:={value}' for name, value in given.items() if value]
        sys.stdout.flush()
        os.execvp('ros2', ['ros2', 'launch', 'g1_bringup', file, *given_words])
    return start(system, values)


def show_arguments(system: System) -> str:
    """The arguments of a system, word for word as `ros2 launch --show-args` prints them."""
    lines = ["Arguments (pass arguments as '<name>:=<value>'):"]
    for argument in system.arguments:
        description = argument.description
        if argument.allowed:
            description += f' Valid choices are: {list(argument.allowed)}'
        lines += ['', f"    '{argument.name}':", f'        {description}']
        lines += [f"        (default: '{argument.default_text}')"]
    return '\n'.join(lines if system.arguments else [*lines, '', '  No arguments.'])
