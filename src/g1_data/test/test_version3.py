"""Conversion to LeRobot v3.0 and back: read by the format's rules, nothing lost on the way."""

import json
import math
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from g1_data import Dataset, DatasetWriter, Schema
from g1_data.cli import main
from g1_description import load_embodiment

SHAPE = (48, 64)
VIDEO = 'observation.images.ego_view'
LENGTHS = (8, 12, 7)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    schema = Schema.of(load_embodiment(), {'head': SHAPE})
    with DatasetWriter.create(tmp_path / 'set', schema) as writer:
        for number, length in enumerate(LENGTHS):
            with writer.episode(f'Task {number % 2}.') as episode:
                for k in range(length):
                    image = np.full((*SHAPE, 3), 60 * number + 5 * k, dtype=np.uint8)
                    episode.add(rng.normal(size=16), rng.normal(size=16), {'head': image})
    return tmp_path / 'set'


def convert(root: Path, version: str) -> Path:
    out = root.with_name(f'{root.name}-{version}')
    assert main(['convert', str(root), '--to', version, '--out', str(out)]) == 0
    return out


def test_version3_is_found_by_its_rules(root: Path) -> None:
    out = convert(root, 'v3.0')
    info = json.loads((out / 'meta/info.json').read_text())
    assert info['codebase_version'] == 'v3.0'
    assert (info['total_episodes'], info['total_frames'], info['total_tasks']) == (3, 27, 2)
    assert info['features']['action']['fps'] == 10
    rows = pq.read_table(out / 'meta/episodes/chunk-000/file-000.parquet').to_pylist()
    assert [row['length'] for row in rows] == list(LENGTHS)
    tasks = pq.read_table(out / 'meta/tasks.parquet')
    assert tasks['task'].to_pylist() == ['Task 0.', 'Task 1.']
    assert json.loads((out / 'meta/stats.json').read_text())['action']['count'] == [27]

    with av.open(
        str(out / info['video_path'].format(video_key=VIDEO, chunk_index=0, file_index=0))
    ) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([k / 10 for k in range(27)])
    dataset = Dataset(root)
    for number, row in enumerate(rows):
        place = {'chunk_index': row['data/chunk_index'], 'file_index': row['data/file_index']}
        table = pq.read_table(out / info['data_path'].format(**place))
        own = table.slice(row['dataset_from_index'], row['length'])
        assert set(own['episode_index'].to_pylist()) == {number}
        expected = dataset.read_episode(number)['action']
        np.testing.assert_array_equal(np.stack(own['action'].to_numpy()), expected)
        assert row[f'videos/{VIDEO}/to_timestamp'] == pytest.approx(
            row[f'videos/{VIDEO}/from_timestamp'] + row['length'] / 10
        )
        first = round(row[f'videos/{VIDEO}/from_timestamp'] * 10)
        pictures = [f.to_ndarray(format='rgb24') for f in frames[first : first + row['length']]]
        np.testing.assert_array_equal(pictures, list(dataset.frames(number)))
        assert row['stats/action/mean'] == pytest.approx(expected.mean(0), abs=1e-6)


def test_there_and_back_is_the_same_dataset(root: Path) -> None:
    back = convert(convert(root, 'v3.0'), 'v2.1')
    assert main(['validate', str(back)]) == 0
    before, after = Dataset(root), Dataset(back)
    assert after.episodes == before.episodes
    for episode in before.episodes:
        for name, values in before.read_episode(episode.index).items():
            np.testing.assert_array_equal(after.read_episode(episode.index)[name], values)
        pictures = list(before.frames(episode.index))
        np.testing.assert_array_equal(list(after.frames(episode.index)), pictures)


def test_the_wrong_version_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['convert', str(root), '--to', 'v2.1', '--out', str(root) + '-new']) == 2
    assert 'is LeRobot v2.1 already, there is nothing to convert' in capsys.readouterr().err
    assert not Path(str(root) + '-new').exists()


@pytest.mark.parametrize(
    ('pattern', 'name', 'value', 'message'),
    [
        (
            'meta/episodes',
            f'videos/{VIDEO}/from_timestamp',
            math.nan,
            '0 or more, got nan',
        ),
        (
            'meta/episodes',
            f'videos/{VIDEO}/from_timestamp',
            math.inf,
            '0 or more, got inf',
        ),
        ('meta/episodes', 'length', 0, 'length: expected a number of 1 or more, got 0'),
        ('meta', 'task_index', 0, 'tasks.parquet: expected every task_index once, got [0, 0]'),
    ],
)
def test_lists_that_make_no_sense_are_named(
    root: Path,
    pattern: str,
    name: str,
    value: float,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    third = convert(root, 'v3.0')
    (path,) = (path for path in (third / pattern).rglob('*.parquet') if name in columns_of(path))
    table = pq.read_table(path)
    values = pa.array([value] * len(table), table[name].type)
    pq.write_table(table.set_column(table.column_names.index(name), name, values), path)
    capsys.readouterr()
    assert main(['convert', str(third), '--to', 'v2.1', '--out', str(root) + '-new']) == 2
    assert message in capsys.readouterr().err


def columns_of(path: Path) -> list[str]:
    return list(pq.read_schema(path).names)
