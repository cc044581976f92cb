"""What a person is told, and can do, when a file cannot be written or read."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = 10_000_000  # [B] left, below which a disk is full
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def explained(error: OSError) -> str:
    """The error in a sentence, with what to do where that is known."""
    if error.errno is None:
        return str(error)
    place = f'{error.filename}: ' if error.filename else ''
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f'{place}the disk is full; make room, or name a folder on another disk'
    said = (error.strerror or str(error)).lower()
    if error.errno in _REFUSED:
        return f'{place}{said}; expected a folder that you may write to: name another one'
    return f'{place}{said}'


def new_file(path: Path) -> Path:
    """The path, its folder made. ValueError where there is a file already: none is overwritten."""
    if path.exists():
        raise ValueError(f'{path} exists and is kept; choose another name')
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def says_full_disk(folder: Path) -> Iterator[None]:
    """Turns an error of a library that does not say so into the OSError of a full disk.

    What says more is left alone: an OSError, and ValueError, by which our own checks refuse.
    """
    try:
        yield
    except Exception as error:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if isinstance(error, OSError | ValueError) or shutil.disk_usage(there).free > _FULL:
            raise
        raise OSError(errno.ENOSPC, str(error), str(folder)) from None
