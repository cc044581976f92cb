"""Programs of tests: read, asked, interrupted, and never left behind."""

import signal
from pathlib import Path

import pytest

from g1_test_support.processes import Program, python
from g1_test_support.waiting import wait_until

POLITE = """
import json, signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit('bye'))
print('up')
for line in sys.stdin:
    print(json.dumps({'event': 'echo', **json.loads(line)}))
"""
PARENT = """
from g1_test_support.processes import Program, python
child = Program(python('import time; print("up"); time.sleep(60)'))
child.wait_for('up')
print('child', child.process.pid)
import time; time.sleep(60)
"""


def test_a_program_is_read_asked_and_interrupted():
    with Program(python(POLITE)) as program:
        program.wait_for('up')
        assert program.ask('echo', number=3)['number'] == 3
        assert program.ask('echo', number=4)['number'] == 4
        assert program.interrupt() == 1
        assert 'bye' in program.output


def test_a_program_that_ends_before_it_says_what_is_waited_for_shows_what_it_said():
    with Program(python('raise SystemExit("no such robot")')) as program:
        with pytest.raises(AssertionError, match='no such robot'):
            program.wait_for('ready')
        with pytest.raises(AssertionError, match='no such robot'):
            program.answer('ready')


def test_what_a_killed_test_started_ends_too():
    with Program(python(PARENT)) as parent:
        parent.wait_for('child')
        child = Path('/proc', parent.lines[-1].split()[1])
        assert child.exists()
        parent.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not child.exists() or ' Z ' in (child / 'stat').read_text(), 'its end')


def test_waiting_ends_with_words():
    with pytest.raises(AssertionError, match='for rain'):
        wait_until(lambda: False, 'rain', 0.05)
    assert wait_until(lambda: 'sun', 'sun') == 'sun'
