"""Datasets as others record them: read where it makes sense, else named with a remedy."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from g1_data import Dataset, DatasetWriter, Schema
from g1_data.cli import main
from g1_description import Group, load_embodiment

ROBOT = load_embodiment()
SHAPE = (64, 96)
VIDEO = 'observation.images.ego_view'
LENGTHS = (9, 12)
PARQUET = 'data/chunk-000/episode_000001.parquet'


def pictures(length: int, seed: int) -> list[np.ndarray]:
    """A square that moves over a plain ground, so that frames are told apart."""
    images = []
    for k in range(length):
        image = np.full((*SHAPE, 3), (60 + 10 * seed, 90, 40), np.uint8)
        image[20:40, 4 * k : 4 * k + 20] = (220, 200, 30)
        images.append(image)
    return images


def write(root: Path, cameras: tuple[str, ...] = ('head',), task: str = 'Wave.') -> Path:
    rng = np.random.default_rng(0)
    schema = Schema.of(ROBOT, dict.fromkeys(cameras, SHAPE))
    with DatasetWriter.create(root, schema) as writer:
        for number, length in enumerate(LENGTHS):
            with writer.episode(task) as episode:
                for image in pictures(length, number):
                    vectors = rng.normal(size=(2, 16))
                    episode.add(*vectors, dict.fromkeys(cameras, image))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / 'set')


def edit_info(root: Path, change: Callable[[dict], None]) -> None:
    path = root / 'meta/info.json'
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))


def encode(path: Path, images: list[np.ndarray], codec: str, options: dict[str, str]) -> None:
    """The frames as another recorder would have stored them, 10 a second."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width = SHAPE
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.time_base = Fraction(1, 10)
        for k, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            frame.pts, frame.time_base = k, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def recode(root: Path, codec: str, options: dict[str, str]) -> None:
    for number, length in enumerate(LENGTHS):
        path = Dataset(root).video_path(number)
        encode(path, pictures(length, number), codec, options)
    name = av.codec.Codec(codec, 'w').canonical_name
    edit_info(root, lambda i: i['features'][VIDEO]['info'].update({'video.codec': name}))


def shown(root: Path, episode: int) -> list[np.ndarray]:
    return list(Dataset(root).frames(episode))


def error_of(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What a command that fails says, in one line."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def convert(root: Path, version: str) -> Path:
    out = root.with_name(f'{root.name}-{version}')
    assert main(['convert', str(root), '--to', version, '--out', str(out)]) == 0
    return out


# Numbers.


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


# Videos.


@pytest.mark.parametrize(
    ('codec', 'options'),
    [
        ('libx264', {'bf': '3', 'g': '250', 'x264-params': 'b-adapt=0'}),
        ('libsvtav1', {'g': '2', 'preset': '12'}),
    ],
    ids=['B-frames', 'AV1'],
)
def test_videos_are_copied_with_every_frame_in_its_place(
    root: Path, codec: str, options: dict[str, str]
) -> None:
    recode(root, codec, options)
    assert main(['stats', str(root)]) == 0
    assert main(['validate', str(root)]) == 0
    before = [shown(root, number) for number in range(len(LENGTHS))]
    back = convert(convert(root, 'v3.0'), 'v2.1')
    assert main(['validate', str(back)]) == 0
    assert main(['merge', str(root), str(back), '--out', str(root.with_name('all'))]) == 0
    for number, images in enumerate(before):
        np.testing.assert_array_equal(shown(back, number), images)
        np.testing.assert_array_equal(shown(root.with_name('all'), number + 2), images)
    assert main(['validate', str(root.with_name('all'))]) == 0


def test_no_codec_is_needed_to_copy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without AV1: what would open a coder or decoder fails."""
    recode(root, 'libsvtav1', {'g': '2', 'preset': '12'})
    assert main(['stats', str(root)]) == 0

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError('a codec was asked for')

    monkeypatch.setattr('g1_data.video.decode', refuse)
    monkeypatch.setattr('g1_data.dataset.decode', refuse)
    third = convert(root, 'v3.0')
    assert (
        json.loads((third / 'meta/info.json').read_text())['features'][VIDEO]['info']['video.codec']
        == 'av1'
    )
    assert main(['merge', str(root), str(root), '--out', str(root.with_name('all'))]) == 0


def test_datasets_of_different_codecs_are_not_merged(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write(tmp_path / 'other')
    recode(other, 'libsvtav1', {'g': '2', 'preset': '12'})
    said = error_of(capsys, 'merge', root, other, '--out', tmp_path / 'all')
    assert 'video.codec is av1, expected h264' in said
    assert 'encode one as the other' in said
    assert not (tmp_path / 'all').exists()


def test_an_episode_of_another_codec_than_the_rest_is_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Dataset(root).video_path(1)
    encode(path, pictures(LENGTHS[1], 1), 'libsvtav1', {'g': '2', 'preset': '12'})
    for words in (('merge', root), ('convert', root, '--to', 'v3.0')):
        said = error_of(capsys, *words, '--out', tmp_path / 'new')
        assert str(path) in said
        assert 'expected h264 yuv420p' in said
        assert 'got av1 yuv420p' in said


def test_an_episode_that_begins_between_key_frames_is_named(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recode(root, 'libx264', {'bf': '0', 'g': '250'})
    third = convert(root, 'v3.0')
    (path,) = (third / 'meta/episodes').rglob('*.parquet')
    table = pq.read_table(path)
    name = f'videos/{VIDEO}/from_timestamp'
    starts = pa.array([0.2, *table[name].to_pylist()[1:]])
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, starts), path)
    said = error_of(capsys, 'convert', third, '--to', 'v2.1', '--out', root.with_name('new'))
    assert 'frame 2 begins an episode but is no key frame' in said


# Tasks.


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


# Names, cameras, other robots.


@pytest.mark.parametrize(
    'nest',
    [
        lambda names: [names],
        lambda names: {'motors': names},
        lambda names: {'left': names[:7], 'right': [names[7:]]},
        lambda names: {name: k for k, name in enumerate(names)},
    ],
    ids=['list in a list', 'mapping', 'nested', 'name to place'],
)
def test_names_may_be_nested(root: Path, nest: Callable[[list[str]], object]) -> None:
    def change(info: dict) -> None:
        for key in ('observation.state', 'action'):
            info['features'][key]['names'] = nest(info['features'][key]['names'])

    edit_info(root, change)
    assert main(['validate', str(root)]) == 0
    assert main(['info', str(root)]) == 0
    assert Dataset(root).state_names == ROBOT.state_names
    plain = write(root.with_name('plain'))
    assert main(['merge', str(plain), str(root), '--out', str(root.with_name('all'))]) == 0


@pytest.mark.parametrize('names', [None, ['state'], []])
def test_numbers_without_names_are_counted(root: Path, names: object) -> None:
    edit_info(root, lambda info: info['features']['action'].update(names=names))
    assert main(['validate', str(root)]) == 0
    assert Dataset(root).action_names == tuple(f'action_{k}' for k in range(16))


def test_several_cameras_are_kept_by_every_command(tmp_path: Path) -> None:
    cameras = ('head', 'left_wrist', 'right_wrist')
    root = write(tmp_path / 'set', cameras)
    out = tmp_path / 'out'
    assert main(['merge', str(root), '--out', str(out)]) == 0
    back = convert(convert(out, 'v3.0'), 'v2.1')
    assert main(['info', str(root), '--picture', str(tmp_path / 'sheet.png')]) == 0
    for folder in (root, out, back):
        assert main(['validate', str(folder)]) == 0
        dataset = Dataset(folder)
        assert dataset.cameras == ('ego_view', 'left_wrist', 'right_wrist')
        for name in cameras:
            images = list(dataset.frames(1, ROBOT.cameras[name]))
            np.testing.assert_array_equal(images, shown(root, 1))
    with pytest.raises(ValueError, match='expected one of the cameras ego_view, left_wrist'):
        Dataset(root).frames(0, 'belly')


def theirs(root: Path) -> Path:
    """A robot of 18 numbers in an order and with names of its own, and two cameras."""
    names = [f'k{name}' for name in reversed(ROBOT.state_names)] + ['kHead', 'kWaist']
    robot = replace(
        ROBOT,
        robot_type='Unitree_G1',
        groups=(Group('body', tuple(names), tuple(names)),),
        cameras={
            'a': replace(ROBOT.cameras['head'], name='a', key='observation.images.cam_left_high'),
            'b': replace(ROBOT.cameras['head'], name='b', key='observation.images.cam_right_high'),
        },
    )
    rng = np.random.default_rng(1)
    with DatasetWriter.create(root, Schema.of(robot, {'a': SHAPE, 'b': SHAPE})) as writer:
        for number, length in enumerate(LENGTHS):
            with writer.episode('Wave.') as episode:
                for image in pictures(length, number):
                    episode.add(*rng.normal(size=(2, 18)), {'a': image, 'b': image[:, ::-1]})
    (root / 'meta/modality.json').unlink()
    return root


MAP = {
    'embodiment': 'g1_aloha',
    'names': {f'k{name}': name for name in ROBOT.state_names},
    'cameras': {
        'observation.images.cam_left_high': 'head',
        'observation.images.cam_right_high': None,
    },
}


def write_map(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps(MAP | changes))  # JSON is YAML
    return path


def test_a_mapping_file_makes_another_robots_dataset_ours(root: Path, tmp_path: Path) -> None:
    other, mapping = theirs(tmp_path / 'theirs'), write_map(tmp_path / 'map.yaml')
    for command in ('info', 'validate'):
        assert main([command, str(other), '--map', str(mapping)]) == 0
    out = tmp_path / 'out'
    assert main(['merge', str(other), '--map', str(mapping), '--out', str(out)]) == 0
    assert main(['validate', str(out)]) == 0
    assert main(['merge', str(root), str(out), '--out', str(tmp_path / 'all')]) == 0
    read, given = Dataset(out).read_episode(1), Dataset(other).read_episode(1)
    for key in ('observation.state', 'action'):
        np.testing.assert_array_equal(read[key], given[key][:, 15::-1])
    np.testing.assert_array_equal(shown(out, 1), list(Dataset(other).frames(1, 'cam_left_high')))
    modality = json.loads((out / 'meta/modality.json').read_text())
    assert modality['state']['left_arm'] == {'start': 0, 'end': 7}

    third, back = tmp_path / 'third', tmp_path / 'back'
    assert main(['convert', str(other), '--to', 'v3.0', '--out', str(third)]) == 0
    words = ['convert', str(third), '--map', str(mapping), '--to', 'v2.1', '--out', str(back)]
    assert main(words) == 0
    np.testing.assert_array_equal(Dataset(back).read_episode(1)['action'], read['action'])


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'names': {'kElbow': 'elbow'}}, 'names: the mapping names kElbow'),
        ({'names': {}}, 'state: expected the names of g1_aloha, missing left_shoulder_pitch_joint'),
        (
            {'cameras': {'observation.images.top': 'head'}},
            'the mapping names observation.images.top',
        ),
        ({'embodiment': 'h1'}, "no embodiment 'h1'"),
        (
            {'camera': {}},
            'expected embodiment, state, action, names, cameras, leave_out, got camera',
        ),
        ({'leave_out': 'tactile'}, 'leave_out: expected a list of columns'),
        ({'state': 'qpos'}, 'the mapping names qpos'),
    ],
)
def test_a_mapping_that_does_not_fit_is_named(
    tmp_path: Path, changes: dict, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other, mapping = theirs(tmp_path / 'theirs'), write_map(tmp_path / 'map.yaml', **changes)
    words = ('merge', other, '--map', mapping, '--out', tmp_path / 'out')
    assert message in error_of(capsys, *words)


# Metadata that are missing or empty.


def test_gr00ts_demo_data_are_read_and_written_as_ours(tmp_path: Path) -> None:
    """v2.0: float64 in plain lists, video_info, annotations, one set of statistics for all."""
    root = write(tmp_path / 'set')
    drop_statistics(root)

    def change(info: dict) -> None:
        info['codebase_version'] = 'v2.0'
        features = info['features']
        features[VIDEO]['video_info'] = features[VIDEO].pop('info')
        for key in ('observation.state', 'action'):
            features[key]['dtype'] = 'float64'
        features['next.reward'] = {'dtype': 'float64', 'shape': [1]}
        features['next.done'] = {'dtype': 'bool', 'shape': [1]}
        features['annotation.human.validity'] = {'dtype': 'int64', 'shape': [1], 'names': None}

    edit_info(root, change)
    for path in sorted((root / 'data').rglob('*.parquet')):
        table = pq.read_table(path)
        for key in ('observation.state', 'action'):
            values = pa.array(
                [row.tolist() for row in table[key].to_numpy()], pa.list_(pa.float64())
            )
            table = table.set_column(table.schema.get_field_index(key), key, values)
        table = table.append_column('next.reward', pa.array(np.zeros(len(table))))
        table = table.append_column('next.done', pa.array([False] * len(table)))
        table = table.append_column('annotation.human.validity', pa.array([1] * len(table)))
        pq.write_table(table, path)
    assert main(['info', str(root)]) == 0
    assert main(['validate', str(root)]) == 1
    out = tmp_path / 'out'
    assert main(['merge', str(root), '--out', str(out)]) == 0
    assert main(['validate', str(out)]) == 0
    np.testing.assert_array_equal(
        Dataset(out).read_episode(1)['action'], Dataset(root).read_episode(1)['action']
    )
    assert Dataset(out).read_episode(0)['annotation.human.validity'].tolist() == [[1]] * LENGTHS[0]


def drop_statistics(root: Path) -> None:
    (root / 'meta/episodes_stats.jsonl').unlink()


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
