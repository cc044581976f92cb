"""Datasets of other robots: names, cameras, and mapping files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign_datasets import (
    LENGTHS,
    ROBOT,
    SHAPE,
    VIDEO,
    convert,
    drop_statistics,
    edit_info,
    error_of,
    pictures,
    shown,
    write,
)

from g1_data import Dataset, DatasetWriter, Schema
from g1_data.cli import main
from g1_description import Group


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
                    state, action = rng.normal(size=(2, 18))
                    episode.add(state, action, {'a': image, 'b': image[:, ::-1]})
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
