"""The episodes of a dataset, what is measured of them, and what a person wants changed."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from g1_data import Dataset
from g1_data.changes import Change, cuts, keep_changes, read_changes, write_changed
from g1_data.measures import measure

_THUMBNAIL = (160, 120)  # [px]
_QUALITY = 70  # of JPEG


class Catalogue:
    """Used by several threads.

    Attributes:
        dataset: what is looked at, and never written to.
        kept: file of the changes until they are written.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        root = dataset.root.resolve()
        self.kept = root.with_name(f'.{root.name}.changes.json')
        known = len(dataset.episodes)
        self._changes = {k: c for k, c in read_changes(self.kept).items() if k < known}
        self._measures: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    @property
    def changes(self) -> dict[int, Change]:
        """By episode; those that change nothing are not there."""
        with self._lock:
            return dict(self._changes)

    def entries(self) -> list[dict[str, Any]]:
        """What the lists of meta/ say of every episode."""
        return [
            {
                'index': episode.index,
                'task': episode.task,
                'length': round(episode.length / self.dataset.fps, 2),
                'health': fault_of(episode.health or {}),
                'outcome': str((episode.health or {}).get('outcome') or ''),
                'flag': str((episode.health or {}).get('flag') or ''),
            }
            for episode in self.dataset.episodes
        ]

    def measures(self, first: int) -> list[dict[str, Any]]:
        """Of the episodes from this one on, as far as `measure_all` has come."""
        return self._measures[first:]

    def measure_all(self, stopped: Callable[[], bool]) -> None:
        """Goes through all episodes, one after the other."""
        for episode in self.dataset.episodes:
            if stopped():
                return
            try:
                found = measure(self.dataset, episode.index)
            except (ValueError, OSError) as error:
                self._measures.append({'error': str(error)})
                continue
            self._measures.append(
                {
                    'source': found.source,
                    'stillness': round(100.0 * found.stillness),
                    'jerk': round(found.jerk, 1),
                    'seams': round(found.seams, 1),
                }
            )

    def thumbnail(self, index: int) -> bytes:
        """The middle of an episode as its first camera saw it, as JPEG.

        LookupError, ValueError and OSError where there is no such episode, camera or picture.
        """
        middle = self.dataset.episodes[index].length // 2
        pixels = next(self.dataset.frames(index, None, middle, middle + 1), None)
        if pixels is None:
            raise ValueError(f'{self.dataset.video_path(index)}: has no frame {middle}')
        image = Image.fromarray(pixels)
        image.thumbnail(_THUMBNAIL)
        out = io.BytesIO()
        image.save(out, 'JPEG', quality=_QUALITY)
        return out.getvalue()

    def change(self, index: int, **what: Any) -> Change:
        """Changes entries of an episode's `Change`, and keeps them in the file."""
        with self._lock:
            changed = replace(self._changes.get(index, Change()), **what)
            self._changes.pop(index, None)
            if changed != Change():
                self._changes[index] = changed
            keep_changes(self.kept, self._changes)
        return changed

    def cut(self, index: int, row: int, what: str) -> Change:
        """'begin' and 'end' leave out what is before or after the row, 'split' makes two of one.

        The row is moved to one where a cut is possible: a begin or split to the one before it, an
        end to the one after it. ValueError where nothing would be left of a part.
        """
        length = self.dataset.episodes[index].length
        parts = self.changes.get(index, Change()).parts or ((0, length),)
        possible = cuts(self.dataset, index)
        if what == 'end':
            at = next(k for k in possible if k > row)
        else:
            at = max(k for k in possible if k <= row)
        inside = [part for part in parts if part[0] < at < part[1]]
        if what == 'begin':
            new = [(max(first, at), stop) for first, stop in parts if stop > at]
        elif what == 'end':
            new = [(first, min(stop, at)) for first, stop in parts if first < at]
        else:
            new = [p for part in parts for p in _halves(part, at)]
        if not new or (what == 'split' and not inside):
            raise ValueError(f'nothing can be cut at row {at}; go to a place within what is left')
        whole = new == [(0, length)]
        return self.change(index, parts=() if whole else tuple(new))

    def write(self, out: Path, told: Callable[[str], None]) -> Dataset:
        """Writes the dataset with all changes as a new one; they are done with then.

        ValueError: nothing is changed, and as of `write_changed`, as OSError; the changes stay.
        """
        changes = self.changes
        if not changes:
            raise ValueError('nothing is changed, so there is nothing to write')

        def track(picks: Any) -> Any:
            total = len(picks)
            for number, pick in enumerate(picks, 1):
                told(f'writing episode {number} of {total}')
                yield pick

        new = write_changed(self.dataset, changes, out, track)
        with self._lock:
            self._changes = {k: c for k, c in self._changes.items() if changes.get(k) != c}
            keep_changes(self.kept, self._changes)
        return new


def _halves(part: tuple[int, int], at: int) -> list[tuple[int, int]]:
    first, stop = part
    return [(first, at), (at, stop)] if first < at < stop else [part]


def fault_of(health: Mapping[str, Any]) -> str:
    """What was wrong with the recording; '' where nothing was, or nobody looked."""
    return '' if health.get('healthy', True) else str(health.get('text') or 'unhealthy')
