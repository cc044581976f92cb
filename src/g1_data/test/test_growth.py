"""What an episode more costs, and how long reading takes, when there are very many already."""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from grown_dataset import SCHEMA, grown, record

from g1_data import Dataset, DatasetWriter, json_lines


def written(work: Callable[[], object]) -> tuple[int, int]:
    """Bytes that are read and written while it is done, by all files together."""

    def count() -> tuple[int, int]:
        numbers = dict(line.split(': ') for line in Path('/proc/self/io').read_text().splitlines())
        return int(numbers['rchar']), int(numbers['wchar'])

    before = count()
    work()
    after = count()
    return after[0] - before[0], after[1] - before[1]


def test_an_episode_more_reads_and_writes_the_same_whatever_is_there(tmp_path: Path) -> None:
    sizes = []
    for count in (1, 5000):
        with DatasetWriter.create(grown(tmp_path / f'{count}', count), SCHEMA) as writer:
            record(writer)
            sizes.append(written(partial(record, writer)))
            assert writer.total_episodes == count + 2
    (few_read, few_written), (many_read, many_written) = sizes
    assert many_written < few_written + 1000
    assert many_read < few_read + 20_000


def test_opening_does_not_read_long_lists_from_the_beginning(tmp_path: Path) -> None:
    root = grown(tmp_path / 'set', 5000)
    size = (root / 'meta/episodes_stats.jsonl').stat().st_size
    read, _ = written(lambda: DatasetWriter.create(root, SCHEMA).close())
    assert size > 1_000_000
    assert read < 200_000


@pytest.mark.parametrize('torn', ['{"episode_index": 2, "ta', '{"episode_index": 2}\n', '\n\n'])
def test_what_a_killed_writer_left_after_the_lines_that_count_is_cut_off(
    tmp_path: Path, torn: str
) -> None:
    root = grown(tmp_path / 'set', 1)
    with DatasetWriter.create(root, SCHEMA) as writer:
        record(writer, 'Bow.')
    for name in ('episodes.jsonl', 'episodes_stats.jsonl', 'tasks.jsonl'):
        with (root / 'meta' / name).open('a') as file:
            file.write(torn)
    assert [episode.task for episode in Dataset(root).episodes] == ['Wave.', 'Bow.']
    with DatasetWriter.create(root, SCHEMA) as writer:
        record(writer, 'Bow.')
    assert [e['tasks'] for e in json_lines.read(root / 'meta/episodes.jsonl')] == [
        ['Wave.'],
        ['Bow.'],
        ['Bow.'],
    ]
    assert Dataset(root).statistics()['action']['count'] == [30]


READ = """
import resource, sys, time
import numpy as np
from g1_data import Dataset
from g1_data.cli import main

def told(what, began):
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'{what} {time.perf_counter() - began:.2f} s {memory:.0f} MB', file=sys.stderr)

began = time.perf_counter()
dataset = Dataset(sys.argv[1])
told('open', began)
rows = sum(episode.length for episode in dataset.episodes)
state, action = np.empty((2, rows, 16), np.float32)
at, began = 0, time.perf_counter()
for episode in dataset.episodes:
    read = dataset.read_finite(episode.index, ('observation.state', 'action'))
    state[at : at + episode.length] = read['observation.state']
    action[at : at + episode.length] = read['action']
    at += episode.length
told('read', began)
began = time.perf_counter()
assert main(['info', sys.argv[1]]) == 0
told('info', began)
"""


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_hundred_thousand_episodes(tmp_path: Path) -> None:
    """Prints what opening, reading and `info` take; a million frames stay below 2 GB."""
    counts = (1, 1_000, 10_000, 100_000)
    roots = [grown(tmp_path / f'{count}', count, files=True) for count in counts]
    times: dict[int, list[float]] = {count: [] for count in counts}
    with ExitStack() as opened:
        writers = [opened.enter_context(DatasetWriter.create(root, SCHEMA)) for root in roots]
        for _ in range(60):  # in turn: what else the machine does slows all alike
            for count, writer in zip(counts, writers, strict=True):
                began = time.perf_counter()
                record(writer)
                times[count].append(time.perf_counter() - began)
    saving = {count: float(np.median(taken)) for count, taken in times.items()}
    table = []
    for count, root in zip(counts, roots, strict=True):
        read = subprocess.run(
            [sys.executable, '-c', READ, str(root)], capture_output=True, text=True, check=True
        )
        table.append(f'{count} episodes: {saving[count] * 1e3:.1f} ms to save one; ')
        table[-1] += ', '.join(read.stderr.splitlines())
        memory = int(read.stderr.split()[-2])
        assert memory < 2000, table
    print('\n'.join(table))
    print(f'peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB')
    assert saving[100_000] < 1.5 * saving[1], table
