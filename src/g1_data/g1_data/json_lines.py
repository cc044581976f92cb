"""The lists of meta/: one JSON object a line, added at the end, never written anew.

How many lines count says info.json; what is after them was left by a writer that was stopped, and
the next one cuts it off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from g1_data import layout

# Line ends to some readers (str.splitlines), although JSON lets them stand in a text.
_LINE_ENDS = {ord(end): f'\\u{ord(end):04x}' for end in '\x85\u2028\u2029'}


def read(path: Path, count: int | None = None) -> Iterator[dict[str, Any]]:
    """The first `count` lines, all without it; none if the file is missing.

    Only a line feed ends a line: U+2028 and others are part of a text. ValueError names a line that
    is no JSON object.
    """
    for _, line in _read(path, count):
        yield line


def offsets(path: Path, count: int) -> list[int]:
    """Where each of the first `count` lines begins [bytes]; ValueError where there are fewer."""
    found = [place for place, _ in _lines(path, count)]
    if len(found) < count:
        raise ValueError(_too_few(path, count, len(found)))
    return found


def read_at(path: Path, offset: int) -> dict[str, Any]:
    """The line that begins at `offset`."""
    with path.open('rb') as file:
        file.seek(offset)
        return _parse(file.readline(), f'{path}, at byte {offset}')


def end(path: Path, count: int, is_last: Callable[[dict[str, Any]], bool]) -> int:
    """Where the first `count` lines end [bytes]; ValueError where there are fewer.

    is_last: whether a line is the last that counts. A file that ends with it is not read from the
    beginning.
    """
    if not count:
        return 0
    last = _last_line(path)
    if last is not None:
        try:
            if is_last(_parse(last, str(path))):
                return path.stat().st_size
        except ValueError:
            pass  # it was not written to its end, and is one of those that do not count
    found, stop = 0, 0
    for place, text in _lines(path, count):
        found, stop = found + 1, place + len(text)
    if found < count:
        raise ValueError(_too_few(path, count, found))
    return stop


def append(path: Path, at: int, lines: Iterable[dict[str, Any]]) -> int:
    """Puts lines at the byte `at`, after those that count, onto the disk; returns their end."""
    new = not path.exists()
    with path.open('ab' if new else 'r+b') as file:
        file.truncate(at)
        file.seek(at)
        if at:
            file.seek(at - 1)
            if file.read(1) != b'\n':
                file.write(b'\n')
        file.write(text(lines).encode())
        file.flush()
        os.fsync(file.fileno())
        stop = file.tell()
    if new:
        layout.sync(path.parent)
    return stop


def truncate(path: Path, at: int) -> None:
    """Cuts off what is after the byte `at`, if anything is."""
    if path.is_file() and path.stat().st_size > at:
        with path.open('r+b') as file:
            file.truncate(at)
            os.fsync(file.fileno())


def text(lines: Iterable[dict[str, Any]]) -> str:
    """Content of a .jsonl file."""
    dumped = (json.dumps(line, ensure_ascii=False).translate(_LINE_ENDS) for line in lines)
    return ''.join(line + '\n' for line in dumped)


def _read(path: Path, count: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, (place, line) in enumerate(_lines(path, count), 1):
        yield place, _parse(line, f'{path}, line {number}')


def _lines(path: Path, count: int | None) -> Iterator[tuple[int, bytes]]:
    """Place and bytes of the first `count` lines that are not blank."""
    if path.is_file():
        with path.open('rb') as file:
            yield from islice(_filled(file), count)


def _filled(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    place = 0
    for line in file:
        if line.strip():
            yield place, line
        place += len(line)


def _last_line(path: Path) -> bytes | None:
    """What is after the last line feed but one; None where the file does not end with one."""
    size = path.stat().st_size if path.is_file() else 0
    length = 4096
    while size:
        with path.open('rb') as file:
            file.seek(max(0, size - length))
            tail = file.read()
        if not tail.endswith(b'\n'):
            return None
        begin = tail.rfind(b'\n', 0, -1)
        if begin >= 0 or length >= size:
            return tail[begin + 1 :]
        length *= 8
    return None


def _parse(line: bytes, where: str) -> dict[str, Any]:
    content = layout.parse_json(line, where)
    if not isinstance(content, dict):
        raise ValueError(f'{where}: expected a mapping, got {str(content)[:100]}')
    return content


def _too_few(path: Path, count: int, found: int) -> str:
    return (
        f'{path}: expected {count} lines, as info.json says, got {found}; '
        '`g1 dataset validate` names all faults'
    )
