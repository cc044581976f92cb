"""A terminal with an interactive shell, as a person has it: typed into, read, Ctrl-C."""

import codecs
import os
import pty
import re
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

from g1_test_support.processes import end_with_parent
from g1_test_support.waiting import DEADLINE, wait_until

_PROMPTS = {'bash': "PS1='[@$?@] '", 'zsh': "PROMPT='[@%?@] '"}
_PROMPT = re.compile(r'\[@(\d+)@\] ')
_COLOURS = re.compile(r'\x1b\[[\d;?]*[A-Za-z]|\x1b[=>(][B0]?|\r')


class Terminal:
    """A shell (bash or zsh) that is open in `folder`; what is typed starts at its prompt."""

    def __init__(self, shell: str, folder: Path, variables: Mapping[str, str]) -> None:
        self.output = ''
        self._read_to = 0
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            end_with_parent()
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)  # a test in the background ignores them
            os.chdir(folder)
            os.execvpe(shell, [shell, '-i'], {**variables, 'COLUMNS': '160'})
        threading.Thread(target=self._read, daemon=True).start()
        self.type(_PROMPTS[shell])
        self.prompt()

    def __enter__(self) -> 'Terminal':
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGHUP)
        os.close(self._terminal)
        os.waitpid(self._pid, 0)

    @property
    def said(self) -> str:
        """Since the last line was typed."""
        return self.output[self._read_to :]

    def type(self, line: str) -> None:
        """A line and the return key."""
        self._read_to = len(self.output)
        os.write(self._terminal, f'{line}\n'.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.write(self._terminal, b'\x03')

    def prompt(self, timeout: float = DEADLINE) -> int:
        """Waits for the end of what was typed; its exit code."""
        wait_until(
            lambda: _PROMPT.search(self.said), lambda: f'the prompt in:\n{self.said}', timeout
        )
        return int(_PROMPT.findall(self.said)[-1])

    def wait_for(self, text: str, timeout: float = DEADLINE) -> None:
        """Until that was printed since the last line; fails where the command ends without."""
        wait_until(
            lambda: text in self.said or _PROMPT.search(self.said),
            lambda: f'{text!r} in:\n{self.said}',
            timeout,
        )
        assert text in self.said, f'ended before {text!r}:\n{self.said}'

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder('utf-8')('replace')
        try:
            while got := os.read(self._terminal, 65536):
                self.output += _COLOURS.sub('', decoder.decode(got))
        except OSError:
            return  # the shell has ended
