"""A small dataset that a test may change."""

from pathlib import Path

import pytest
from foreign_datasets import write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / 'set')
