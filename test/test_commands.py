"""Commands in the documents are commands that there are, with options that they take."""

import contextlib
import importlib.util
import io
import re
import shlex
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from dit4dit_policy import cli as dit4dit
from g1_bringup.arguments import check
from g1_bringup.systems import find
from g1_console import cli as g1

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob('*.md'), *ROOT.glob('docs/*.md'), *ROOT.glob('src/*/README.md')]
PROGRAMS = {'g1': g1.main, 'dit4dit': dit4dit.main}
#: Of `dataset`: each has options of its own.
WITH_COMMANDS = {'dataset'}


def commands() -> list[tuple[str, ...]]:
    """Words of every command of ours in a block of shell commands; two may stand in one line."""
    found = set()
    for document in DOCUMENTS:
        for block in re.findall(r'```bash\n(.*?)```', document.read_text(), re.DOTALL):
            for line in block.splitlines():
                for part in re.split(r'\s{3,}|&&', line.partition(' # ')[0]):
                    found.add(tuple(shlex.split(part, comments=True)))
        for inline in re.findall(r'`((?:g1|dit4dit|make|python -m) [^`]+)`', document.read_text()):
            found.add(tuple(shlex.split(inline)))
    return sorted(words for words in found if words)


def of(program: str) -> list[tuple[str, ...]]:
    """Those of one program, without what stands for any: FILE, NAME."""
    found = [words for words in commands() if words[0] == program and len(words) > 1]
    return [words for words in found if not any(word.isupper() for word in words[1:3])]


LAUNCHES = [words for words in of('g1') if words[1] == 'launch']
OTHERS = [*(words for words in of('g1') if words not in LAUNCHES), *of('dit4dit')]


def test_there_are_commands_in_the_documents():
    assert len(LAUNCHES) >= 8 and len(OTHERS) >= 30


@pytest.mark.parametrize('words', LAUNCHES, ids=' '.join)
def test_what_is_launched_takes_these_arguments(words):
    """Whether files and hardware that they name are here is another matter."""
    system = replace(find(words[2]), checks=())
    given = dict(word.split(':=', 1) for word in words[3:] if ':=' in word)
    assert set(check(system, given)) >= set(given)
    assert {word for word in words[3:] if ':=' not in word} <= {'--show-args'}


@pytest.mark.parametrize('words', OTHERS, ids=' '.join)
def test_a_command_takes_these_options(words):
    program, *rest = words
    name = rest[:2] if rest[0] in WITH_COMMANDS else rest[:1]
    said = help_of(program, *name)
    assert said.startswith('usage: ')
    if name != ['run']:  # whose options are those of ROS
        for option in (word for word in rest if word.startswith('--')):
            assert re.search(rf'{option}\b', said), said


def test_targets_and_modules_that_the_documents_name_are_there():
    targets = re.findall(r'(?m)^([a-z-]+):', (ROOT / 'Makefile').read_text())
    assert {words[1] for words in of('make')} <= set(targets)
    modules = {words[2] for words in of('python') if words[1] == '-m'}
    assert {name for name in modules if importlib.util.find_spec(name) is None} == set()


def help_of(*words: str) -> str:
    program, *rest = words
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        PROGRAMS[program]([*rest, '--help'])
    return said.getvalue()


def every_command() -> list[tuple[str, ...]]:
    """argparse lists commands four spaces from the margin; those of g1 are entry points."""
    entries = {entry.name for entry in entry_points(group='g1.commands')} - {'replay'}
    found = [('g1',), ('dit4dit',), ('g1', 'dataset', 'replay')]
    found += [('g1', name) for name in sorted({*entries, *g1.SERVICES})]
    for words in (('dit4dit',), ('g1', 'dataset')):
        found += [(*words, name) for name in re.findall(r'(?m)^    (\w+)', help_of(*words))]
    return found


@pytest.mark.parametrize('words', every_command(), ids=' '.join)
def test_help_fits_a_terminal_of_80_columns(words, monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    said = help_of(*words)
    assert said.startswith('usage: ')
    assert [line for line in said.splitlines() if len(line) > 80] == []
