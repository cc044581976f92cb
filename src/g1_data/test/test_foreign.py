"""Datasets as others record them: read where it makes sense, else named with a remedy."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign_datasets import (
    LENGTHS,
    PARQUET,
    VIDEO,
    convert,
    drop_statistics,
    edit_info,
    error_of,
    shown,
    write,
)

from g1_data import Dataset, DatasetWriter
from g1_data.cli import main


def test_nan_is_refused_with_episode_frame_and_joint(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pq.read_table(root / PARQUET)
    states = np.stack(table['observation.state'].to_numpy())
    states[5, 3] = np.nan
    column = pa.FixedSizeListArray.from_arrays(pa.array(states.reshape(-1)), 16)
    place = table.schema.get_field_index('observation.state')
    pq.write_table(table.set_column(place, 'observation.state', column), root / PARQUET)

    assert main(['validate', str(root)]) == 1
    assert 'NaN or Inf at frame 5, left_elbow_joint' in capsys.readouterr().out
    for words in (('merge', root, root), ('convert', root, '--to', 'v3.0'), ('drop', root, 0)):
        said = error_of(capsys, *words, '--out', root.with_name('new'))
        assert 'episode 1, frame 5: observation.state of left_elbow_joint' in said
        assert 'g1 dataset drop' in said
        assert not root.with_name('new').exists()
    assert main(['drop', str(root), '1', '--out', str(root.with_name('new'))]) == 0
    with pytest.raises(ValueError, match='episode 1, frame 5'):
        Dataset(root).read_finite(1)


@pytest.mark.parametrize('end', ['\u2028', '\u2029', '\x85', '\x1c'])
def test_a_line_end_within_a_task_is_part_of_it(tmp_path: Path, end: str) -> None:
    task = f'Pick up{end}the cup.'
    root = write(tmp_path / 'set', task=task)
    assert main(['validate', str(root)]) == 0
    assert Dataset(root).tasks == (task,)
    assert len((root / 'meta/episodes.jsonl').read_text().splitlines()) == len(LENGTHS)
    for name in ('tasks', 'episodes'):  # as it was written before
        path = root / f'meta/{name}.jsonl'
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text(''.join(json.dumps(x, ensure_ascii=False) + '\n' for x in lines))
    assert main(['validate', str(root)]) == 0
    assert [episode.task for episode in Dataset(root).episodes] == [task, task]
    with DatasetWriter.create(root, Dataset(root).schema) as writer:
        assert writer.total_episodes == 2


def test_a_whole_rate_written_as_a_float_is_that_rate(root: Path) -> None:
    edit_info(root, lambda info: info.update(fps=10.0))
    assert main(['validate', str(root)]) == 0
    back = convert(convert(root, 'v3.0'), 'v2.1')
    assert main(['validate', str(back)]) == 0
    assert json.loads((back / 'meta/info.json').read_text())['fps'] == 10
    np.testing.assert_array_equal(shown(back, 1), shown(root, 1))


@pytest.mark.parametrize('fps', [29.97, 0, -1, 'ten', None, True, float('nan')])
def test_a_rate_that_is_not_whole_is_named(
    root: Path, fps: object, capsys: pytest.CaptureFixture[str]
) -> None:
    third = convert(root, 'v3.0')
    for folder, words in (
        (root, ('info', root)),
        (root, ('convert', root, '--to', 'v3.0', '--out', root.with_name('a'))),
        (third, ('convert', third, '--to', 'v2.1', '--out', root.with_name('b'))),
    ):
        edit_info(folder, lambda info: info.update(fps=fps))
        assert 'fps: expected a whole number of at least 1' in error_of(capsys, *words)
    assert main(['validate', str(root)]) == 1


def test_each_frame_of_an_episode_of_two_tasks_keeps_its_own(root: Path) -> None:
    third = convert(root, 'v3.0')
    (path,) = (third / 'data').rglob('*.parquet')
    table = pq.read_table(path)
    numbers = np.zeros(len(table), np.int64)
    numbers[4:9] = 1  # the rest of the first episode
    place = table.schema.get_field_index('task_index')
    pq.write_table(table.set_column(place, 'task_index', pa.array(numbers)), path)
    tasks = pa.table({'task_index': [0, 1], 'task': ['Pick up the cup.', 'Put it down.']})
    pq.write_table(tasks, third / 'meta/tasks.parquet')

    back = convert(third, 'v2.1')
    assert main(['validate', str(back)]) == 0
    again = convert(convert(back, 'v3.0'), 'v2.1')
    assert main(['merge', str(again), '--out', str(root.with_name('merged'))]) == 0
    for folder in (back, again, root.with_name('merged')):
        dataset = Dataset(folder)
        assert dataset.episodes[0].tasks == ('Pick up the cup.', 'Put it down.')
        assert dataset.episodes[1].tasks == ('Pick up the cup.',)
        expected = ['Pick up the cup.'] * 4 + ['Put it down.'] * 5
        assert dataset.frame_tasks(0) == expected


def test_missing_statistics_are_computed_where_a_new_dataset_is_written(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop_statistics(root)
    assert main(['info', str(root)]) == 0
    assert 'g1 dataset stats' in capsys.readouterr().out
    assert main(['merge', str(root), '--out', str(root.with_name('merged'))]) == 0
    back = convert(convert(root, 'v3.0'), 'v2.1')
    assert main(['stats', str(root)]) == 0
    for folder in (root, root.with_name('merged'), back):
        assert main(['validate', str(folder)]) == 0


def change_line(root: Path, name: str, change: Callable[[dict], object]) -> None:
    path = root / 'meta' / name
    lines = [json.loads(line) for line in path.read_text().split('\n') if line]
    change(lines[1 if len(lines) > 1 else 0])
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            lambda r: change_line(r, 'episodes.jsonl', lambda line: line.update(tasks=[])),
            'meta/episodes.jsonl, line 2: tasks: expected an instruction',
        ),
        (
            lambda r: change_line(r, 'episodes.jsonl', lambda line: line.pop('length')),
            'episodes.jsonl, line 2: length: expected a whole number of at least 0, got nothing',
        ),
        (
            lambda r: change_line(r, 'tasks.jsonl', lambda line: line.pop('task')),
            'meta/tasks.jsonl, line 1: task: expected a text, got nothing',
        ),
        (
            lambda r: change_line(r, 'tasks.jsonl', lambda line: line.pop('task_index')),
            'meta/tasks.jsonl: expected the tasks 0 to 0 of info.json in order, got 1 lines: None',
        ),
        (
            lambda r: edit_info(r, lambda info: info['features'][VIDEO].pop('info')),
            f"features: {VIDEO}: info: expected a mapping with the video's codec, got nothing",
        ),
        (
            lambda r: edit_info(r, lambda info: info.update(total_episodes=10**12)),
            'meta/episodes.jsonl: expected the episodes 0 to 999999999999 of info.json in order',
        ),
        (
            lambda r: change_line(r, 'tasks.jsonl', lambda line: line.update(task=' ')),
            "meta/tasks.jsonl: task 0: expected an instruction, got ' '",
        ),
        (drop_statistics, 'meta/episodes_stats.jsonl: missing; `g1 dataset stats` computes it'),
        (
            lambda r: edit_info(
                r, lambda info: info['features'].update(depth={'dtype': 'image', 'shape': [4, 4]})
            ),
            'features: depth: expected dtype float32 or float64 or int8',
        ),
    ],
)
def test_what_is_missing_is_named(
    root: Path, damage: Callable[[Path], None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(root)
    assert main(['validate', str(root)]) == 1
    assert message in capsys.readouterr().out


def change_rows(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def empty_episode(root: Path) -> None:
    change_line(root, 'episodes.jsonl', lambda line: line.update(length=0))
    change_rows(root / PARQUET, lambda table: table.slice(0, 0))


def numbered(name: str, number: int) -> Callable[[pa.Table], pa.Table]:
    """A change: the same number in all of a column of bookkeeping."""

    def change(table: pa.Table) -> pa.Table:
        numbers = pa.array([number] * len(table), pa.int64())
        return table.set_column(table.column_names.index(name), name, numbers)

    return change


@pytest.mark.parametrize('name', ['episode_index', 'frame_index', 'index', 'task_index'])
def test_wrong_bookkeeping_is_right_in_what_is_converted(root: Path, name: str) -> None:
    change_rows(root / PARQUET, numbered(name, 99))
    assert main(['validate', str(root)]) == 1
    back = convert(convert(root, 'v3.0'), 'v2.1')
    assert main(['validate', str(back)]) == 0
    assert Dataset(back).frame_tasks(1) == ['Wave.']


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            lambda r: change_line(r, 'episodes.jsonl', lambda line: line.update(episode_index=0)),
            'episodes.jsonl, line 2: episode_index: expected 1, got 0; each is listed once',
        ),
        (
            lambda r: change_rows(r / PARQUET, lambda table: table.slice(3)),
            f'{PARQUET}: expected the 12 rows of episodes.jsonl, got 9',
        ),
        (
            empty_episode,
            f'{PARQUET}: expected rows, got none; leave this episode out',
        ),
        (
            lambda r: change_line(r, 'tasks.jsonl', lambda line: line.update(task='Sit.')),
            "meta/tasks.jsonl: has no task 'Wave.', which episode 0 is of",
        ),
    ],
)
def test_what_would_make_a_wrong_set_is_not_converted(
    root: Path, damage: Callable[[Path], object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(root)
    out = root.with_name('out')
    assert message in error_of(capsys, 'convert', root, '--to', 'v3.0', '--out', out)
    assert not out.exists()
