"""Who may import what: the table of rooms, enforced on what each program really loads."""

import ast
import functools
import json
import subprocess
import sys
from importlib.metadata import distribution

import pytest
from test_architecture import NEVER, PYTHON_PACKAGES, ROS_TYPES, SRC


@functools.cache
def programs() -> dict[str, tuple[str, str]]:
    """Nodes, commands and what is found by name: package and modules by what a person types."""
    found = {
        f'{entry.group} {entry.name}': (package, entry.value.split(':')[0])
        for package in PYTHON_PACKAGES
        for entry in distribution(package).entry_points
    }
    found['g1'] = ('g1_console', 'g1_console.cli')
    found['dit4dit'] = ('dit4dit_policy', ', '.join(sorted(dit4dit_modules())))
    return found


def dit4dit_modules() -> set[str]:
    """The module of the command `dit4dit` and those that its subcommands import when they run."""
    cli = SRC / 'dit4dit_policy' / 'dit4dit_policy' / 'cli.py'
    lazy = {
        node.module
        for node in ast.walk(ast.parse(cli.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('dit4dit_policy')
    }
    return {module for module in lazy if module} | {'dit4dit_policy.cli'}


def never(program: str) -> frozenset[str]:
    """What a program must not load: what is not for its package's room, and more for `dit4dit`."""
    room = NEVER[programs()[program][0]]
    trains_without_ros = program.startswith('dit4dit') and programs()[program][0] != 'g1_sim'
    return frozenset(room | ROS_TYPES if trains_without_ros else room)


def rooms() -> list[tuple[str, ...]]:
    """Programs with the same things to keep away from."""
    found: dict[tuple[str, frozenset[str]], list[str]] = {}
    for program in sorted(programs()):
        found.setdefault((programs()[program][0], never(program)), []).append(program)
    return [tuple(names) for names in found.values()]


def loaded(*names: str) -> set[str]:
    """Packages in `sys.modules` once the modules of these programs are imported in a process."""
    modules = ', '.join(programs()[name][1] for name in names)
    code = f'import json, sys, {modules}; print(json.dumps([name for name in sys.modules]))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.split('.')[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize('names', rooms(), ids=lambda names: programs()[names[0]][0])
def test_programs_load_only_what_their_room_allows(names):
    """All of a room in one process; one by one, to name the guilty, only if that was too much."""
    forbidden = never(names[0])
    if loaded(*names) & forbidden:
        assert {name: sorted(loaded(name) & forbidden) for name in names} == {}
