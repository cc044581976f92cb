"""A system in a process of its own, for commands that start one, watch it and stop it."""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from g1_ros.middleware import environment, free_domain

_STOP_SECONDS = 10.0


class DemoError(RuntimeError):
    """The system did not work; the message says what was expected and what came instead."""


@contextmanager
def launched(words: list[str], log: Path) -> Iterator[Callable[[], None]]:
    """`g1 launch` in its own process; yields a check that raises DemoError when it has ended."""
    with log.open('w') as file:
        process = subprocess.Popen(
            [shutil.which('g1') or 'g1', 'launch', *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent,
        )

    def alive() -> None:
        if process.poll() is not None:
            raise DemoError(f'the system ended by itself:\n{_last_lines(log)}')

    try:
        yield alive
    except DemoError as error:
        if process.poll() is None:
            raise DemoError(f'{error}\nthe last lines of the nodes:\n{_last_lines(log)}') from None
        raise
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def take_domain(values: Mapping[str, object]) -> None:
    """This process and those it starts speak as such a system, in a domain of their own.

    Unless ROS_DOMAIN_ID names one.
    """
    os.environ.setdefault('ROS_DOMAIN_ID', str(free_domain()))
    os.environ.update(environment(values))


def run_folder(out: Path, name: str) -> Path:
    """A new folder `<time>-name` in `out`; with a number behind it where that is taken."""
    stem = f'{datetime.now():%Y%m%d-%H%M%S}-{name}'
    for number in itertools.count(1):
        folder = out / (stem if number == 1 else f'{stem}-{number}')
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise AssertionError


def end_with_parent() -> None:
    """In a child process: it is stopped even when its parent is killed (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _last_lines(log: Path, count: int = 15) -> str:
    """The end of the log; of the node that ended by itself only, where one did."""
    lines = log.read_text(errors='replace').splitlines()
    for pattern in (r'^error: (\w+) (?:ended|was killed)', r'\[(\w+)-\d+\]: process has died'):
        for line in lines:
            if found := re.search(pattern, line):
                lines = [line for line in lines if found[1] in line]
                break
    return '\n'.join('  ' + line for line in lines[-count:])
