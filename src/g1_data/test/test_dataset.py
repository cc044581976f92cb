"""What the writer leaves on disk, read with plain pyarrow, av and json by the format's rules."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from g1_data import Dataset, DatasetWriter, Extra, Schema, merge
from g1_data.cli import main
from g1_description import Group, load_embodiment

FPS = 10
SHAPE = (48, 64)
ROBOT = load_embodiment()
NAMES, TURNED = list(ROBOT.state_names), ROBOT.state_names[::-1]
VIDEO = 'observation.images.ego_view'


def image(number: int) -> np.ndarray:
    """A picture whose brightness tells its number, left half, over a fixed right half."""
    picture = np.full((*SHAPE, 3), 40, dtype=np.uint8)
    picture[:, : SHAPE[1] // 2] = 20 + number * 5 % 200
    picture[:, SHAPE[1] // 2 :, 2] = 200
    return picture


def number_of(picture: np.ndarray) -> int:
    return round((picture[:, : SHAPE[1] // 2 - 4].mean() - 20) / 5)


def create(root: Path, **changes: Any) -> DatasetWriter:
    arguments: dict[str, Any] = {'embodiment': ROBOT, 'images': {'head': SHAPE}} | changes
    return DatasetWriter.create(root, Schema.of(**arguments))


def record(writer: DatasetWriter, task: str, length: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    states, actions = rng.normal(size=(2, length, 16)).astype(np.float32)
    with writer.episode(task) as episode:
        for k in range(length):
            episode.add(states[k], actions[k], {'head': image(k)})
    return states, actions


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob('*') if p.is_file()}


def test_an_independent_reader_finds_every_frame_and_number(tmp_path: Path) -> None:
    root = tmp_path / 'set'
    with create(root) as writer:
        first = record(writer, 'Pick up the flower.', 23)
        second = record(writer, 'Pick up the cup.', 7, seed=1)

    info = json.loads((root / 'meta/info.json').read_text())
    assert info['codebase_version'] == 'v2.1'
    assert info['robot_type'] == 'g1_body29_aloha_arms_only'
    assert (info['total_episodes'], info['total_frames'], info['total_tasks']) == (2, 30, 2)
    assert info['splits'] == {'train': '0:2'}
    assert info['features'][VIDEO]['shape'] == [*SHAPE, 3]
    assert info['features']['action']['names'] == NAMES
    assert read_lines(root / 'meta/tasks.jsonl') == [
        {'task_index': 0, 'task': 'Pick up the flower.'},
        {'task_index': 1, 'task': 'Pick up the cup.'},
    ]
    assert [e['length'] for e in read_lines(root / 'meta/episodes.jsonl')] == [23, 7]

    index = 0
    for number, (states, actions) in enumerate((first, second)):
        place = {'episode_chunk': 0, 'episode_index': number, 'video_key': VIDEO}
        table = pq.read_table(root / info['data_path'].format(**place))
        length = len(states)
        np.testing.assert_array_equal(np.stack(table['observation.state'].to_numpy()), states)
        np.testing.assert_array_equal(np.stack(table['action'].to_numpy()), actions)
        np.testing.assert_allclose(table['timestamp'], np.arange(length) / FPS, atol=1e-6)
        np.testing.assert_array_equal(table['frame_index'], np.arange(length))
        np.testing.assert_array_equal(table['index'], index + np.arange(length))
        assert set(table['episode_index'].to_pylist()) == {number}
        assert set(table['task_index'].to_pylist()) == {number}
        index += length

        with av.open(str(root / info['video_path'].format(**place))) as container:
            stream = container.streams.video[0]
            assert (stream.codec.name, stream.pix_fmt) == ('h264', 'yuv420p')
            assert stream.average_rate == FPS
            frames = list(container.decode(stream))
        assert [frame.time for frame in frames] == pytest.approx(table['timestamp'].to_pylist())
        pictures = [frame.to_ndarray(format='rgb24') for frame in frames]
        assert [number_of(p) for p in pictures] == list(range(length))
        assert np.abs(pictures[0].astype(int) - image(0)).mean() < 4


def test_modality_names_the_parts_that_the_trainer_asks_for(tmp_path: Path) -> None:
    create(tmp_path / 'set').close()
    modality = json.loads((tmp_path / 'set/meta/modality.json').read_text())
    parts = {
        'left_arm': {'start': 0, 'end': 7},
        'right_arm': {'start': 7, 'end': 14},
        'left_gripper': {'start': 14, 'end': 15},
        'right_gripper': {'start': 15, 'end': 16},
    }
    assert modality['state'] == modality['action'] == parts
    assert modality['video']['ego_view']['original_key'] == VIDEO
    assert 'human.task_description' in modality['annotation']


def test_extras_and_health_come_back_and_survive_a_merge(tmp_path: Path) -> None:
    extras = {
        'capture': Extra(('image [s]', 'state [s]'), 'float64'),
        'operator': Extra(('grip', 'trigger', 'x [m]')),
    }
    root = tmp_path / 'set'
    start = 1_790_000_000.123456
    with create(root, extras=extras) as writer:
        with writer.episode('task') as episode:
            for k in range(5):
                row = {'capture': np.array([start + k, start]), 'operator': np.array([k, 0, 1])}
                episode.add(np.zeros(16), np.zeros(16), {'head': image(k)}, row)
            with pytest.raises(ValueError, match='extras: expected capture, operator, got none'):
                episode.add(np.zeros(16), np.zeros(16), {'head': image(5)})
            episode.save({'healthy': False, 'text': '3 frames missed', 'missed': 3})
        assert writer.schema.extras == extras
    with pytest.raises(ValueError, match='choose another folder'):
        create(root)

    assert main(['validate', str(root)]) == 0
    for dataset in (Dataset(root), merge([root], tmp_path / 'merged')):
        columns = dataset.read_episode(0)
        np.testing.assert_array_equal(columns['capture'][:, 0], start + np.arange(5))
        np.testing.assert_array_equal(columns['operator'][:, 0], range(5))
        assert dataset.extras == extras
        assert dataset.episodes[0].health == {
            'healthy': False,
            'text': '3 frames missed',
            'missed': 3,
        }


def test_statistics_are_those_of_the_numbers_and_pixels(tmp_path: Path) -> None:
    with create(tmp_path / 'set') as writer:
        states, _ = record(writer, 'task', 20)
        more, _ = record(writer, 'task', 11, seed=1)
    line = read_lines(tmp_path / 'set/meta/episodes_stats.jsonl')[0]['stats']
    np.testing.assert_allclose(line['observation.state']['mean'], states.mean(0), rtol=1e-5)
    np.testing.assert_allclose(line['observation.state']['std'], states.std(0), rtol=1e-5)
    assert line['observation.state']['count'] == [20]
    assert np.shape(line['timestamp']['min']) == (1,)
    pixels = np.stack([image(k) for k in range(20)]) / 255
    assert np.shape(line[VIDEO]['mean']) == (3, 1, 1)
    np.testing.assert_allclose(np.ravel(line[VIDEO]['mean']), pixels.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(np.ravel(line[VIDEO]['std']), pixels.std((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(np.ravel(line[VIDEO]['max']), pixels.max((0, 1, 2)), atol=1e-6)

    together = np.concatenate((states, more))
    stats = Dataset(tmp_path / 'set').statistics()['observation.state']
    np.testing.assert_allclose(stats['mean'], together.mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(stats['std'], together.std(0), rtol=1e-5)
    np.testing.assert_allclose(stats['min'], together.min(0), rtol=1e-6)


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / 'set'
    with create(root) as writer:
        record(writer, 'task', 5)
        before = files(root)
        with pytest.raises(RuntimeError, match='camera'), writer.episode('task') as episode:
            episode.add(np.zeros(16), np.zeros(16), {'head': image(0)})
            raise RuntimeError('camera unplugged')
        assert files(root) == before
        assert not (root / '.staging').exists()
        record(writer, 'task', 5)
    assert len(Dataset(root).episodes) == 2


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    with create(tmp_path / 'set') as writer:
        before = files(tmp_path)
        episode = writer.episode('task')
        episode.add(np.zeros(16), np.zeros(16), {'head': image(0)})
        episode.discard()
        assert files(tmp_path) == before


@pytest.mark.parametrize(
    ('state', 'picture', 'message'),
    [
        (np.zeros(14), image(0), r'state: expected \(16,\) numbers, got \(14,\)'),
        (np.full(16, np.nan), image(0), 'state: expected finite numbers'),
        (
            np.zeros(16),
            np.zeros((24, 32, 3), np.uint8),
            r'image of head: expected \(48, 64, 3\) uint8',
        ),
        (np.zeros(16), np.zeros((*SHAPE, 3)), 'float64'),
    ],
)
def test_a_wrong_frame_is_refused_with_the_reason(
    tmp_path: Path, state: np.ndarray, picture: np.ndarray, message: str
) -> None:
    with create(tmp_path / 'set') as writer:
        with pytest.raises(ValueError, match=message), writer.episode('task') as episode:
            episode.add(state, np.zeros(16), {'head': picture})
        assert writer.total_episodes == 0


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'fps': 30}, 'fps 10, which cannot take episodes with fps 30'),
        ({'images': {'head': (96, 128)}}, r'ego_view: shape \[48, 64, 3\]'),
        (
            {
                'embodiment': replace(
                    ROBOT, groups=(Group('all', ROBOT.state_names[::-1], ROBOT.state_names),)
                )
            },
            'observation.state: names',
        ),
        (
            {'embodiment': replace(ROBOT, robot_type='other')},
            'robot_type g1_body29_aloha_arms_only',
        ),
    ],
)
def test_a_dataset_of_another_kind_is_not_touched(
    tmp_path: Path, changes: dict, message: str
) -> None:
    with create(tmp_path / 'set') as writer:
        record(writer, 'task', 3)
    before = Dataset(tmp_path / 'set').content_hash()
    with pytest.raises(ValueError, match=message):
        create(tmp_path / 'set', **changes)
    assert Dataset(tmp_path / 'set').content_hash() == before


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'holiday.jpg').write_text('')
    with pytest.raises(ValueError, match=r'holiday\.jpg'):
        create(tmp_path)


def test_two_writers_at_a_time_are_refused(tmp_path: Path) -> None:
    with create(tmp_path / 'set'), pytest.raises(BlockingIOError, match='another process'):
        create(tmp_path / 'set')
    create(tmp_path / 'set').close()


def test_reader_gives_single_frames_and_columns(tmp_path: Path) -> None:
    with create(tmp_path / 'set') as writer:
        states, actions = record(writer, 'task', 25)
    dataset = Dataset(tmp_path / 'set')
    assert dataset.state_names == dataset.action_names == tuple(NAMES)
    columns = dataset.read_episode(0)
    np.testing.assert_array_equal(columns['observation.state'], states)
    np.testing.assert_array_equal(columns['action'], actions)
    for k in (0, 4, 5, 13, 24):
        assert [number_of(p) for p in dataset.frames(0, 'ego_view', k, k + 1)] == [k]
    assert [number_of(p) for p in dataset.frames(0, ROBOT.cameras['head'], 7, 12)] == list(
        range(7, 12)
    )
    with pytest.raises(FileNotFoundError, match='1 episodes'):
        dataset.read_episode(1)


def test_merge_joins_parts_and_numbers_them_anew(tmp_path: Path) -> None:
    with create(tmp_path / 'a') as writer:
        a = record(writer, 'flower', 6)
        record(writer, 'cup', 4, seed=1)
    with create(tmp_path / 'b') as writer:
        b = record(writer, 'cup', 5, seed=2)
    merged = merge([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'out')
    assert [(e.length, e.task) for e in merged.episodes] == [(6, 'flower'), (4, 'cup'), (5, 'cup')]
    assert merged.tasks == ('flower', 'cup')
    np.testing.assert_array_equal(merged.read_episode(0)['action'], a[1])
    last = merged.read_episode(2)
    np.testing.assert_array_equal(last['observation.state'], b[0])
    np.testing.assert_array_equal(last['index'], np.arange(10, 15))
    assert set(last['episode_index']) == {2}
    assert set(last['task_index']) == {1}
    assert [number_of(p) for p in merged.frames(2)] == list(range(5))
    assert merged.episode_statistics(2)['index']['min'] == [10]


def test_merge_of_unlike_parts_leaves_nothing(tmp_path: Path) -> None:
    with create(tmp_path / 'a') as writer:
        record(writer, 'task', 3)
    with create(tmp_path / 'b', fps=30) as writer:
        record(writer, 'task', 3)
    with pytest.raises(ValueError, match=r'/b does not fit .*/a: .*fps'):
        merge([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'out')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a', 'b']
    with pytest.raises(ValueError, match='exists'):
        merge([tmp_path / 'a'], tmp_path / 'b')


ENDLESS = """
import sys, numpy as np
from g1_data import DatasetWriter, Schema
from g1_description import load_embodiment
schema = Schema.of(load_embodiment(), {'head': (48, 64)})
writer = DatasetWriter.create(sys.argv[1], schema)
image = np.zeros((48, 64, 3), np.uint8)
while True:
    with writer.episode('task') as episode:
        for k in range(6):
            episode.add(np.full(16, k), np.full(16, k), {'head': image})
            print(writer.total_episodes, k, flush=True)
"""


@pytest.mark.parametrize('stop_at', [(1, 3), (2, 5), (3, 0)])
def test_killed_in_an_episode_the_finished_ones_stay(
    tmp_path: Path, stop_at: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / 'set'
    process = subprocess.Popen(
        [sys.executable, '-c', ENDLESS, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        episode, frame = map(int, line.split())
        if (episode, frame) >= stop_at:
            break
    process.send_signal(signal.SIGKILL)
    process.wait(10)

    finished = len(Dataset(root).episodes)
    assert finished >= stop_at[0]
    with create(root) as writer:
        left = [path for path in writer.set_aside if path.exists()]
        assert left or not (root / '.staging').exists()
        assert ('set aside' in caplog.text) == bool(left)
        record(writer, 'task', 4)
    dataset = Dataset(root)
    assert len(dataset.episodes) == finished + 1
    for saved in dataset.episodes:
        assert len(dataset.read_episode(saved.index)['index']) == saved.length
        assert sum(1 for _ in dataset.frames(saved.index)) == saved.length
    assert not (root / '.staging').exists()


def test_what_is_referred_to_is_on_the_disk_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut spares what was synced: contents of files, and names in folders."""
    contents: set[int] = set()
    names: set[Path] = set()
    commits = 0
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f'/proc/self/fd/{descriptor}').resolve()
        if path.is_dir():
            names.update(path.iterdir())
        else:
            contents.add(path.stat().st_ino)

    def watched_replace(source: Path, target: Path) -> Path:
        nonlocal commits
        if target.name == 'info.json':
            commits += 1
            assert source.stat().st_ino in contents
            for path in root.rglob('[!.]*'):
                if '.staging' not in str(path) and path != target:
                    assert path in names, f'{path.relative_to(root)}: its name may be lost'
                    assert path.is_dir() or path.stat().st_ino in contents, f'{path}: empty'
        names.discard(target)
        return replace(source, target)

    monkeypatch.setattr(os, 'fsync', watched_fsync)
    monkeypatch.setattr(Path, 'replace', watched_replace)
    root = tmp_path / 'new' / 'set'
    with create(root) as writer:
        for _ in range(2):
            record(writer, 'task', 5)
    assert commits == 3
    assert root in names
    assert root.parent in names
