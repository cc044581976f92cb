"""A simulator in a process and a Python environment of its own, asked as if it were an object.

Both sides send `dit4dit_policy.serving.wire` over a socket pair: {call, arguments} one way,
{result} or {error: text} the other. The process ends when its parent does.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from dit4dit_policy.serving.wire import pack, unpack

_REPLY_TIMEOUT = 1800.0  # [s] a task is loaded in seconds; where CPU is short, in minutes
_SHOWN = 1500  # characters of what a simulator that died has printed


class SimulatorError(ChildProcessError):
    """The simulator's process is gone or hangs; the text has what it printed last."""


class Simulator(Protocol):
    """Whose methods are asked by name."""

    def call(self, name: str, **arguments: Any) -> Any:
        """What the method `name` returns."""

    def close(self) -> None:
        """Ends it."""


class SimulatorProcess:
    """Runs `python -m module` of another environment; `call` asks what it `answer`s with."""

    def __init__(self, python: Path, module: str) -> None:
        ours, theirs = socket.socketpair()
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        # What this Python sees is not for the other.
        env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
        self._process = subprocess.Popen(
            [str(python), '-m', module, str(theirs.fileno())],
            # Unbuffered, or its last words come after its traceback, or not at all.
            env={'MUJOCO_GL': 'egl', **env, 'PYTHONUNBUFFERED': '1'},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._printed,
            stderr=subprocess.STDOUT,
        )
        theirs.close()
        self._connection = Connection(ours.detach())

    def call(self, name: str, **arguments: Any) -> Any:
        """What the method `name` returns there.

        ValueError where that raised one; SimulatorError where there is no answer.
        """
        try:
            self._connection.send_bytes(pack({'call': name, 'arguments': arguments}))
            if not self._connection.poll(_REPLY_TIMEOUT):
                self.close()
                raise SimulatorError(f'simulator: no answer to {name} within {_REPLY_TIMEOUT:g} s')
            reply: Mapping[str, Any] = unpack(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            code = self._process.wait(10)
            raise SimulatorError(
                f'simulator: it ended with code {code} ({error}); it said:\n{self._last_words()}'
            ) from None
        if 'error' in reply:
            raise ValueError(reply['error'])
        return reply['result']

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._printed.close()

    def _last_words(self) -> str:
        self._printed.seek(0)
        return self._printed.read().decode(errors='replace')[-_SHOWN:].strip() or 'nothing'


def answer(simulation: object, descriptor: int) -> None:
    """The other side: calls methods of `simulation` until the parent is gone."""
    with Connection(descriptor) as connection:
        while True:
            try:
                request = unpack(connection.recv_bytes())
            except (EOFError, OSError):
                return
            try:
                result = getattr(simulation, request['call'])(**request['arguments'])
                reply = {'result': result}
            except ValueError as error:
                reply = {'error': str(error)}
            try:
                connection.send_bytes(pack(reply))
            except OSError:
                return


def environment_python(folder: str, variable: str) -> Path:
    """The Python of the environment that `make` put into `folder`, or of the one in `variable`.

    ValueError says how to get it.
    """
    if named := os.environ.get(variable):
        places = [Path(named)]
    else:
        here = Path(__file__).resolve()
        places = [root / folder for root in (Path.cwd(), Path(sys.prefix).parent, *here.parents)]
    for place in places:
        if (place / 'bin' / 'python').is_file():
            return place / 'bin' / 'python'
    name = folder.removeprefix('.venv-')
    raise ValueError(
        f'{name} is not installed: expected a Python environment in {places[0]}; `make {name}` '
        f'makes it, or {variable} says where it is'
    )
