"""Writes docs/parameters.md: every parameter of every node, from the nodes' own declarations.

make docs                                  writes the file
python scripts/parameter_docs.py --check   exit code 1 when it is not what the nodes declare
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from importlib.metadata import distribution
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import yaml

from g1_bringup.systems import systems

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / 'docs' / 'parameters.md'

_HEAD = """# Parameters

Every parameter of every node, made from the nodes' declarations by `make docs`; not edited by hand.
A value in `config/` is what the launch files pass; where there is none, the default holds. All are
set at the start and read-only then: `ros2 param describe` says the same. What a launch file takes
as an argument is shown by `g1 launch FILE --show-args`.
"""


def document() -> str:
    """The whole file."""
    parts = [_HEAD]
    for package, executable, module in sorted(_nodes()):
        schemas = list(_schemas(module))
        files = _config_files(executable)
        given = {name: value for file in files for name, value in _values(file).items()}
        parts.append(f'\n## {executable} ({package})\n')
        if files:
            parts.append(f'From {", ".join(f"`config/{file}`" for file in files)}.\n')
        rows = [row for schema in schemas for row in _rows(schema, given)]
        if rows:
            parts.append(
                '| parameter | default | config | allowed | meaning |\n|---|---|---|---|---|'
            )
            parts += rows
            parts.append('')
        else:
            parts.append('None.\n')
    return '\n'.join(parts).rstrip() + '\n'


def _nodes() -> Iterator[tuple[str, str, Any]]:
    """Package, executable and module of every node of the suite."""
    for package in sorted(path.parent.name for path in (ROOT / 'src').glob('*/setup.py')):
        for entry in distribution(package).entry_points:
            if entry.group == 'console_scripts' and '.nodes.' in entry.value:
                yield package, entry.name, importlib.import_module(entry.value.split(':')[0])


def _schemas(module: Any) -> Iterator[type]:
    """The dataclasses that a node's module declares, in their order."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'declare':
            name = node.args[1]
            assert isinstance(name, ast.Name), f'{module.__name__}: declare(self, SCHEMA) expected'
            yield getattr(module, name.id)


def _config_files(executable: str) -> list[str]:
    """The parameter files that the launch files pass to a node."""
    found = [
        file
        for system in systems().values()
        for node in system.nodes
        if node.executable == executable
        for file in node.config
    ]
    return list(dict.fromkeys(found))


def _values(file: str) -> dict[str, Any]:
    """What a parameter file gives, whichever node it names."""
    content = yaml.safe_load((ROOT / 'config' / file).read_text()) or {}
    return {
        name: value
        for section in content.values()
        for name, value in section.get('ros__parameters', {}).items()
    }


def _rows(schema: type, given: dict[str, Any]) -> Iterator[str]:
    types = get_type_hints(schema)
    for field in fields(schema):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        kind = _kind(types[field.name])
        value = _text(given[field.name]) if field.name in given else ''
        meaning = field.metadata['description'].replace('|', '\\|')
        cells = (f'`{field.name}` ({kind})', _text(default), value, _allowed(field), meaning)
        yield f'| {" | ".join(cells)} |'


def _kind(hint: Any) -> str:
    if isinstance(hint, UnionType):  # T | None
        return _kind(get_args(hint)[0])
    return str(hint) if get_args(hint) else str(getattr(hint, '__name__', hint))


def _allowed(field: Field[Any]) -> str:
    """Range or choices, with the unit."""
    low, high, unit = (field.metadata[name] for name in ('minimum', 'maximum', 'unit'))
    if field.metadata['choices']:
        return ', '.join(_text(choice) for choice in field.metadata['choices'])
    words = []
    if low is not None and high is not None:
        words.append(f'{low} to {high}')
    elif low is not None:
        words.append(f'from {low}')
    elif high is not None:
        words.append(f'to {high}')
    return ' '.join([*words, unit]) if unit else ' '.join(words)


def _text(value: Any) -> str:
    if value is None:
        return 'not set'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ', '.join(_text(item) for item in value) or 'none'
    return f'`{value}`' if isinstance(value, str) and value else str(value) or "`''`"


def main() -> int:
    """Returns 1 when the file is to be checked and is stale."""
    parser = argparse.ArgumentParser(description='Write docs/parameters.md.')
    parser.add_argument('--check', action='store_true', help='write nothing; 1 when it is stale')
    wanted = document()
    if parser.parse_args().check:
        stale = not FILE.is_file() or FILE.read_text() != wanted
        print(
            'docs/parameters.md is stale; run: make docs'
            if stale
            else 'docs/parameters.md is up to date'
        )
        return int(stale)
    FILE.write_text(wanted)
    print('wrote docs/parameters.md')
    return 0


if __name__ == '__main__':
    sys.exit(main())
