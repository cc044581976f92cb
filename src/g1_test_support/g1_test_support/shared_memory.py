"""What killed nodes leave in shared memory: half a megabyte each, which nothing else removes."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

MEMORY = Path('/dev/shm')
_AGE = 10.0  # of a file that its owner must have locked by now [s]


@pytest.fixture(autouse=True, scope='session')
def tidy_memory() -> Iterator[None]:
    """Afterwards no segment is left of a node that was killed."""
    yield
    remove_abandoned_segments()


def remove_abandoned_segments(age: float = _AGE) -> None:
    """Segments of Fast-DDS whose owner has died; as long as it lives it holds a lock on `NAME_el`.

    age: of those that are looked at [s].
    """
    for lock in MEMORY.glob('fastrtps_' + 16 * '[0-9a-f]' + '_el'):
        with suppress(OSError), lock.open() as file:  # locked, or gone meanwhile, or of others
            if time.time() - lock.stat().st_mtime >= age:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock.with_name(lock.name.removesuffix('_el')).unlink(missing_ok=True)
                lock.unlink()
