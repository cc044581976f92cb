"""Killed at any moment or on a full disk: finished episodes stay, what was open never counts.

The recording layer runs at full speed without ROS, in processes that a small server forks, so that
fifty deaths take seconds.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from g1_data import Dataset, DatasetWriter
from g1_data.validate import validate

#: Forks a recorder for every line of stdin, {root, episodes, die_at, limits}: it opens the dataset,
#: then records and saves episodes until it is done or killed. With `die_at` it kills itself just
#: before its so many-th change of a file; with `limits` no file may grow beyond so many bytes while
#: it records episode 0, 1, ...
SERVER = """
import json, os, resource, signal, sys, time
import numpy as np
from g1_data import DatasetWriter, Extra, Schema
from g1_description import load_embodiment
from g1_recorder.recording import EpisodeRecording, Frame, RawTopics

RAW = RawTopics({'/said': 'std_msgs/msg/String'}, {})
STRING = bytes.fromhex('00010000020000006100')
FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def say(*words):
    print(*words, flush=True)

def dying_at(number):
    changes = 0
    def look(event, arguments):
        nonlocal changes
        changing = event in ('os.rename', 'os.mkdir', 'os.rmdir', 'os.remove')
        if changing or (event == 'open' and (arguments[2] or 0) & FLAGS):
            changes += 1
            if changes == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(look)

def record(root, episodes, limits):
    extras = {'stamp': Extra(('s',), 'float64')}
    schema = Schema.of(load_embodiment(), {'head': (48, 64)}, extras=extras)
    writer = DatasetWriter.create(root, schema)
    say('open', writer.total_episodes)
    rng = np.random.default_rng(os.getpid())
    for number in range(episodes):
        limit = limits[number] if number < len(limits) else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        recording = EpisodeRecording(writer, f'task {rng.integers(3)}', RAW)
        for k in range(rng.integers(3, 12)):
            image = rng.integers(96, 160, (48, 64, 3), dtype=np.uint8)  # far from where it is cut
            vectors = rng.normal(size=(2, 16))
            images = {'head': lambda image=image: image}
            recording.add(Frame(*vectors, images, {'stamp': [time.time()]}))
            recording.add_raw('/said', time.time_ns(), STRING)
        recording.finish()
        problems = recording.problems
        try:
            index = recording.save({'healthy': not problems, 'text': '; '.join(problems)})
            say('saved', index)
        except OSError as error:
            say('lost', error)
        assert not os.path.exists(f'{root}/.staging')
    writer.close()

for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        say('pid', os.getpid())
        if request['die_at']:
            dying_at(request['die_at'])
        record(request['root'], request['episodes'], request['limits'])
        os._exit(0)
    say('died' if os.waitpid(child, 0)[1] else 'done')
"""


class Recorders:
    """Starts recorders and follows what they say."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self._server = subprocess.Popen(
            [sys.executable, '-c', SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        root: Path,
        *,
        episodes: int,
        die_at: int = 0,
        kill_after: float | None = None,
        limits: Sequence[int] = (),
    ) -> tuple[int, bool]:
        """How many episodes were saved for sure, and whether the recorder died.

        What it said of those that were not is added to `lost`.

        kill_after: how long after its fork it gets a SIGKILL [s].
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {'root': str(root), 'episodes': episodes, 'die_at': die_at, 'limits': limits}
        print(json.dumps(request), file=self._server.stdin, flush=True)
        said, number = self._server.stdout.readline().split()
        assert said == 'pid'
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(int(number), signal.SIGKILL)
        saved = 0
        for line in self._server.stdout:
            match line.split():
                case ['died']:
                    return saved, True
                case ['done']:
                    return saved, False
                case ['open', count]:
                    saved = int(count)
                case ['saved', index]:
                    saved = int(index) + 1
                case ['lost', *words]:
                    self.lost.append(' '.join(words))
        raise AssertionError('the server ended')

    def close(self) -> None:
        self._server.communicate(timeout=60)


@pytest.fixture(scope='module')
def recorders() -> Iterator[Recorders]:
    started = Recorders()
    yield started
    started.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: a kill leaves the same there, and a sync is short."""
    memory = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as path:
        yield Path(path)


def content(root: Path) -> list[tuple[bytes, ...]]:
    """Of every episode the line, and the files as they are."""
    dataset = Dataset(root)
    lines = (root / 'meta/episodes.jsonl').read_bytes().splitlines()
    episodes = []
    for e in dataset.episodes:
        raw = sorted((root / f'raw/episode_{e.index:06d}').glob('*'))
        files = (dataset.data_path(e.index), dataset.video_path(e.index), *raw)
        episodes.append((lines[e.index], *(path.read_bytes() for path in files)))
    return episodes


def open_again(root: Path) -> list[Path]:
    """What is set aside by the recorder's next start."""
    with DatasetWriter.create(root, Dataset(root).schema) as writer:
        return writer.set_aside


def assert_nothing_is_lost(root: Path, before: list[tuple[bytes, ...]], saved: int) -> None:
    assert validate(root) == []
    after = content(root)
    assert after[: len(before)] == before
    assert len(after) in (saved, saved + 1)  # the last one may be finished and unsaid
    raw = {path.name for path in (root / 'raw').iterdir()}
    assert raw <= {f'episode_{index:06d}' for index in range(len(after))}
    left = [path.name for path in root.iterdir() if path.name.startswith('.')]
    assert set(left) <= {'.aside'}
    assert list(root.glob('meta/.*')) == []


def test_fifty_kills_at_random_moments(
    recorders: Recorders, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aside = 0
    rng = random.Random(0)
    for number in range(5):
        root = folder / f'{number}'
        recorders.run(root, episodes=1)
        began = time.monotonic()
        recorders.run(root, episodes=1)
        usual = min(time.monotonic() - began, 0.2)  # [s] for one start and one episode
        for _ in range(10):
            before = content(root)
            saved, died = recorders.run(root, episodes=1000, kill_after=rng.uniform(0, 2 * usual))
            assert died
            caplog.clear()
            left = open_again(root)
            aside += bool(left)
            assert ('were set aside' in caplog.text) == bool(left)
            assert all(path.exists() for path in left)
            assert_nothing_is_lost(root, before, max(saved, len(before)))
    assert aside >= 10


def test_a_kill_before_any_change_of_a_file_loses_nothing(
    recorders: Recorders, folder: Path
) -> None:
    finished = folder / 'finished'
    recorders.run(finished, episodes=2)
    before = content(finished)
    worst, most = 0, 0
    number, died = 0, True
    while died:
        number += 1
        root = folder / f'{number}'
        shutil.copytree(finished, root)
        saved, died = recorders.run(root, episodes=1, die_at=number)
        left = open_again(root)
        if len(left) >= most:
            worst, most = number, len(left)
        assert_nothing_is_lost(root, before, max(saved, 2))
        shutil.rmtree(root)
    assert number > 15
    assert most >= 3

    repair, died = 0, True
    while died:
        repair += 1
        root = folder / f'repair{repair}'
        shutil.copytree(finished, root)
        recorders.run(root, episodes=1, die_at=worst)
        _, died = recorders.run(root, episodes=0, die_at=repair)
        open_again(root)
        assert_nothing_is_lost(root, before, 2)
        shutil.rmtree(root)
    assert repair > 3


def test_a_full_disk_loses_the_open_episode_only(recorders: Recorders, folder: Path) -> None:
    """Limits from where nothing fits to where all does, so that each file is the one too many."""
    root = folder / 'set'
    recorders.run(root, episodes=3)
    before = content(root)
    recorders.lost.clear()
    limits = [round(500 * 1.3**k) for k in range(20)]
    saved, died = recorders.run(root, episodes=len(limits) + 1, limits=limits)
    assert not died
    assert len(recorders.lost) >= 5
    assert all('File too large' in text for text in recorders.lost)
    assert saved == 3 + len(limits) + 1 - len(recorders.lost)
    assert open_again(root) == []
    assert_nothing_is_lost(root, before, saved)
    health = [episode.health for episode in Dataset(root).episodes[3:]]
    kept = [(root / f'raw/episode_{index:06d}').exists() for index in range(3, saved)]
    assert [bool(h and h['healthy']) for h in health] == kept
    assert health[-1] == {'healthy': True, 'text': ''}
