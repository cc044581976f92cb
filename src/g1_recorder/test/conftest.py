"""A robot that can be recorded, and recorder_node beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from g1_test_support.processes import Program
from g1_test_support.recorded_robot import RecordedRobot, recorder_node


@pytest.fixture
def robot() -> Iterator[RecordedRobot]:
    with RecordedRobot() as robot:
        yield robot


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Program]:
    with recorder_node(tmp_path) as recorder:
        yield recorder
