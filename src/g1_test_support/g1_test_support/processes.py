"""Programs that a test starts, reads and ends."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from g1_test_support.waiting import DEADLINE, wait_until

_END = 60.0  # what a program may take to end when it is asked to [s]


class Program:
    """A process and what it prints, its errors included; it ends with the test that started it.

    lines: what it printed, newest last. json_lines: those of them that are JSON objects, read.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        variables: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> None:
        self.lines: list[str] = []
        self.json_lines: list[dict[str, Any]] = []
        self._answered = 0
        self.process = subprocess.Popen(
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env={**os.environ, 'PYTHONUNBUFFERED': '1', **(variables or {})},
            preexec_fn=end_with_parent,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> 'Program':
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def output(self) -> str:
        """All it printed so far."""
        return ''.join(self.lines)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def say(self, text: str) -> None:
        """A line to its standard input."""
        assert self.process.stdin is not None
        print(text, file=self.process.stdin, flush=True)

    def wait_for(self, text: str, timeout: float = DEADLINE) -> None:
        """Until it has printed `text`; fails when it ends without."""

        def there() -> bool:
            if not self.running:
                self._reader.join(_END)
                assert text in self.output, f'ended before {text!r}:\n{self.output}'
            return text in self.output

        wait_until(there, lambda: f'{text!r} in:\n{self.output}', timeout)

    def ask(self, event: str, **request: Any) -> dict[str, Any]:
        """Sends a line of JSON; the answer, whose `event` has to be this one."""
        self.say(json.dumps(request))
        return self.answer(event)

    def answer(self, event: str, timeout: float = 1.5 * DEADLINE) -> dict[str, Any]:
        """The next line of JSON that nobody has asked for yet; its `event` has to be this one."""
        number = self._answered
        wait_until(
            lambda: len(self.json_lines) > number or not self.running,
            lambda: f'{event!r} in:\n{self.output}',
            timeout,
        )
        assert len(self.json_lines) > number, f'ended before {event!r}:\n{self.output}'
        self._answered += 1
        answer = self.json_lines[number]
        assert answer['event'] == event, answer
        return answer

    def interrupt(self, number: signal.Signals = signal.SIGINT, timeout: float = _END) -> int:
        """Sends the signal; the exit code once it has ended, with all its output read."""
        self.process.send_signal(number)
        return self.ended(timeout)

    def ended(self, timeout: float = DEADLINE) -> int:
        """The exit code, once it has ended by itself."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def kill(self) -> None:
        """At once (SIGKILL)."""
        self.process.kill()
        self.ended()

    def end(self) -> None:
        """As Ctrl-C would, or at once when that is not heard."""
        if self.running:
            self.process.send_signal(signal.SIGINT)
        try:
            self.ended(_END)
        except subprocess.TimeoutExpired:
            self.kill()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith('{'):
                self.json_lines.append(json.loads(line))


def python(code: str, *arguments: str) -> list[str]:
    """The command that runs this code."""
    return [sys.executable, '-c', code, *arguments]


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs this module, as `python -m` does."""
    return [sys.executable, '-m', name, *arguments]


def node(entry: str, *arguments: str) -> list[str]:
    """The command that runs a node; entry: as `g1_control.nodes.control_node:main`."""
    home, function = entry.split(':')
    return python(f'import sys; from {home} import {function}; sys.exit({function}())', *arguments)


def parameter_words(values: Mapping[str, object]) -> list[str]:
    """Parameters of a node, by name, as words after `--ros-args`."""
    return [word for name, value in values.items() for word in ('-p', f'{name}:={value}')]


def end_with_parent() -> None:
    """In a child process: nothing is left behind when a test is killed (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
