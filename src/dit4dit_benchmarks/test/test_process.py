"""A simulator in a process of its own is asked like an object, and its end is told."""

import os
import sys

import numpy as np
import pytest
from seeing import python_that_sees

from dit4dit_benchmarks.process import SimulatorError, SimulatorProcess, environment_python


@pytest.fixture
def simulator(monkeypatch, tmp_path):
    """Its Python is this one, told by itself where packages are."""
    python = python_that_sees(sys.executable, tmp_path)
    monkeypatch.setenv('PYTHONPATH', '/of/this/one')
    process = SimulatorProcess(python, 'toy_simulation')
    yield process
    process.close()


def test_arrays_go_there_and_back_and_mistakes_are_told(simulator):
    reply = simulator.call('double', values=np.arange(3.0))
    np.testing.assert_array_equal(reply['values'], [0.0, 2.0, 4.0])
    assert '/of/this/one' not in reply['path']
    with pytest.raises(ValueError, match='expected something else'):
        simulator.call('refuse')
    assert simulator.call('double', values=np.ones(1))['values'] == [2.0]


def test_what_it_printed_before_it_died_is_told(simulator):
    with pytest.raises(SimulatorError, match=r'ended with code 1(?s:.*)it hurts(?s:.*)IndexError'):
        simulator.call('die')
    assert issubclass(SimulatorError, OSError)  # which commands tell without a traceback
    simulator.close()


def test_the_environment_is_found_by_variable_or_in_the_folder(monkeypatch, tmp_path):
    python = tmp_path / '.venv-toy' / 'bin' / 'python'
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.chdir(tmp_path)
    assert environment_python('.venv-toy', 'DIT4DIT_TOY') == python
    monkeypatch.chdir(os.sep)
    with pytest.raises(ValueError, match=r'toy is not installed: .*`make toy` makes it'):
        environment_python('.venv-toy', 'DIT4DIT_TOY')
    monkeypatch.setenv('DIT4DIT_TOY', str(tmp_path / '.venv-toy'))
    assert environment_python('.venv-toy', 'DIT4DIT_TOY') == python
