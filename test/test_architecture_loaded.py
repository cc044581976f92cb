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


@pytest.mark.parametrize('program', sorted(programs()))
def test_a_program_loads_only_what_its_room_allows(program):
    """Whatever imports what: `sys.modules` after the import, in a process of its own."""
    package, modules = programs()[program]
    never = NEVER[package]
    if program == 'dit4dit':
        never = never | ROS_TYPES  # it trains and evaluates where there is no ROS
    code = f'import json, sys, {modules}; print(json.dumps([name for name in sys.modules]))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {name.split('.')[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert sorted(loaded & never) == []
