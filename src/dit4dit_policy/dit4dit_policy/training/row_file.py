"""Arrays larger than memory: written in pieces, then mapped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


def write_rows(file: BinaryIO, count: int, pieces: Iterable[NDArray[Any]]) -> None:
    """Writes `count` rows, which come in pieces (n, ...) that are alike but for n, as an .npy.

    ValueError when they are not so many.
    """
    written = 0
    for piece in pieces:
        if not written:
            header = {
                'descr': piece.dtype.str,
                'fortran_order': False,
                'shape': (count, *piece.shape[1:]),
            }
            np.lib.format.write_array_header_1_0(file, header)
        file.write(np.ascontiguousarray(piece).data)
        written += len(piece)
    if written != count:
        raise ValueError(f'expected {count} rows, got {written}')


def mapped_rows(file: BinaryIO) -> NDArray[Any]:
    """What `write_rows` wrote; read from the disk as it is looked at, changes stay in memory."""
    file.seek(0)
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return np.memmap(file, dtype, 'c', file.tell(), shape)
