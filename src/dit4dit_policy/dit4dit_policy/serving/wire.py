"""What client and server of a policy send each other: MessagePack with numpy arrays.

The wire format of the published DiT4DiT server (and of openpi, where it comes from): an array is
the map {b"__ndarray__": True, b"data": its bytes in C order, b"dtype": str, b"shape": list}; a
number of numpy's {b"__npgeneric__": True, b"data": a number, b"dtype": str}.
"""

from __future__ import annotations

import math
import re
import reprlib
from typing import Any, TypeGuard

import msgpack
import numpy as np

#: Where the token is that a server on another machine asks for, sent as Authorization: Api-Key.
TOKEN_VARIABLE = 'DIT4DIT_TOKEN'
#: Largest message that either side takes [bytes]: eight 1280x800 images with room to spare.
MAX_BYTES = 32 * 2**20

_MOST_VALUES = 100_000  # in a message, an array being one: to make millions holds up everybody
_KINDS = 'biuf'  # of arrays: booleans and numbers, nothing that has to be interpreted


def pack(message: Any) -> bytes:
    """`message` of maps, lists, texts, numbers and arrays as bytes. TypeError of anything else."""
    packed: bytes = msgpack.packb(message, default=_pack_numpy)
    return packed


def unpack(data: bytes) -> Any:
    """What `pack` was given. ValueError says what is wrong with the bytes."""
    left = _MOST_VALUES

    def counted(values: Any) -> Any:
        nonlocal left
        left -= 1 + len(values)
        if left < 0:
            raise WireError(f'expected at most {_MOST_VALUES} values besides those in arrays')
        return values

    try:
        return msgpack.unpackb(
            data,
            object_hook=lambda entry: _unpack_numpy(counted(entry)),
            list_hook=counted,
            strict_map_key=False,
            max_array_len=_MOST_VALUES,
            max_map_len=_MOST_VALUES,
        )
    except WireError:
        raise
    except Exception as error:  # the library's are of many classes, some not its own
        reason = f'{type(error).__name__}: {error}'.removesuffix(': ')
        raise WireError(
            f'expected one MessagePack value, got {len(data)} bytes: {reason}'
        ) from None


class WireError(ValueError):
    """Bytes that mean nothing here; the text says what was expected."""


def _pack_numpy(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            raise TypeError(f'expected an array of numbers, got one of {value.dtype}')
        return {
            b'__ndarray__': True,
            b'data': value.tobytes(),
            b'dtype': value.dtype.str,
            b'shape': value.shape,
        }
    if isinstance(value, np.generic) and value.dtype.kind in _KINDS:
        return {b'__npgeneric__': True, b'data': value.item(), b'dtype': value.dtype.str}
    raise TypeError(f'expected maps, lists, texts, numbers and arrays, got {type(value).__name__}')


def _unpack_numpy(entry: dict[Any, Any]) -> Any:
    if b'__ndarray__' in entry:
        data, shape = entry.get(b'data'), entry.get(b'shape')
        dtype = _dtype(entry.get(b'dtype'))
        if not isinstance(data, bytes) or not _are_sizes(shape):
            raise WireError('array: expected bytes as data and a list of sizes as shape')
        wanted = math.prod(shape) * dtype.itemsize
        if len(data) != wanted:
            raise WireError(
                f'array: {tuple(shape)} of {dtype} needs {wanted} bytes of data, got {len(data)}'
            )
        return np.frombuffer(data, dtype).reshape(shape)
    if b'__npgeneric__' in entry:
        dtype, number = _dtype(entry.get(b'dtype')), entry.get(b'data')
        try:
            if isinstance(number, bool | int | float):
                return dtype.type(number)
        except (OverflowError, ValueError):
            pass
        raise WireError(f'number: expected one of {dtype}, got {reprlib.repr(number)}')
    return entry


def _are_sizes(shape: Any) -> TypeGuard[list[int]]:
    return isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)


def _dtype(text: Any) -> np.dtype[Any]:
    try:  # numpy reads much more as a dtype, and is long at it
        simple = isinstance(text, str) and re.fullmatch(r'[<>=|]?\w{1,12}', text)
        dtype = np.dtype(text) if simple else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in _KINDS:
        raise WireError(f'array: expected a dtype of numbers, as <f4, got {reprlib.repr(text)}')
    return dtype
