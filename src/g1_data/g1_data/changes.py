"""What a person wants otherwise in a dataset, collected by episode and written as a new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from g1_data import layout
from g1_data.assemble import Pick, Track, assemble
from g1_data.dataset import Dataset
from g1_data.packets import key_frames

OUTCOMES = ('', 'success', 'failure')


@dataclass(frozen=True)
class Change:
    """Of one episode; what is None or empty stays as it is.

    task: its instruction. outcome: one of OUTCOMES. flag: a note to find it by. parts: rows
    (first, one after the last) of each episode that becomes of it, in order.
    """

    dropped: bool = False
    task: str = ''
    outcome: str | None = None
    flag: str | None = None
    parts: tuple[tuple[int, int], ...] = ()

    @property
    def words(self) -> str:
        """What it does, for a person; '' where nothing."""
        rows = ' and '.join(f'{first} to {stop - 1}' for first, stop in self.parts)
        outcome = {None: '', '': 'outcome unsaid'}.get(self.outcome, f'a {self.outcome}')
        flag = {None: '', '': 'no flag'}.get(self.flag, f'flag: {self.flag}')
        said = (
            f'task: {self.task}' if self.task else '',
            outcome,
            flag,
            f'rows {rows}' if rows else '',
        )
        return 'dropped' if self.dropped else ', '.join(filter(None, said))


def cuts(dataset: Dataset, index: int) -> list[int]:
    """Rows of an episode before which it can be cut without encoding a picture again, and its end.

    They are the key frames that all its videos share; in our own every fifth frame is one.
    """
    length = dataset.episodes[index].length
    rows = set(range(length))
    for key in dataset.schema.videos_by_key:
        rows &= set(key_frames(dataset.video_path(index, key)))
    return sorted({0, *rows, length})


def write_changed(
    dataset: Dataset, changes: Mapping[int, Change], out: str | Path, track: Track = iter
) -> Dataset:
    """Writes the dataset with the changes, by episode, as a new one at `out`.

    Of an episode that becomes several the last keeps the outcome: how it ended is told of its end.

    Raises:
        ValueError: `out` exists, nothing is left, or a part does not begin where `cuts` says.
    """
    picks = [
        pick
        for episode in dataset.episodes
        for pick in _picks(dataset, episode.index, changes.get(episode.index, Change()))
    ]
    return assemble(picks, out, track)


def read_changes(path: Path) -> dict[int, Change]:
    """What `keep_changes` wrote; nothing where there is no such file."""
    if not path.is_file():
        return {}
    try:
        return {int(k): _change(given) for k, given in layout.read_json(path).items()}
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f'{path}: no changes of a dataset: {error}; move it away') from None


def keep_changes(path: Path, changes: Mapping[int, Change]) -> None:
    """Writes them to a file, so that no end of a program loses them; none leave no file."""
    if changes:
        content = {str(index): asdict(change) for index, change in sorted(changes.items())}
        layout.write_atomically(path, layout.json_text(content))
    else:
        path.unlink(missing_ok=True)


def _change(given: dict[str, Any]) -> Change:
    parts: Sequence[Sequence[int]] = given.pop('parts')
    return Change(**given, parts=tuple((int(first), int(stop)) for first, stop in parts))


def _picks(dataset: Dataset, index: int, change: Change) -> Iterator[Pick]:
    if change.dropped:
        return
    said = {'outcome': change.outcome, 'flag': change.flag}
    health = {name: value for name, value in said.items() if value is not None}
    parts = change.parts or ((0, dataset.episodes[index].length),)
    for number, (first, stop) in enumerate(parts, 1):
        untold = {} if number == len(parts) else {'outcome': ''}
        yield Pick(dataset, index, first, stop, change.task, health | untold)
