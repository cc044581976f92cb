"""Demonstrations as training reads them from datasets."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy_models as toy

from dit4dit_policy.training.demonstrations import Demonstrations
from g1_data import Dataset, DatasetWriter


def replace_column(path: Path, name: str, values: np.ndarray) -> None:
    """Puts other numbers into a column of a parquet file."""
    table = pq.read_table(path)
    column = pa.array(values.reshape(-1))
    if values.ndim == 2:
        column = pa.FixedSizeListArray.from_arrays(column, values.shape[1])
    place = table.schema.get_field_index(name)
    pq.write_table(table.set_column(place, name, column), path)


def test_a_number_that_is_none_is_refused_with_episode_frame_and_joint(tmp_path: Path) -> None:
    root = toy.record(tmp_path / 'set', 3)
    states = Dataset(root).read_episode(1)['observation.state'].copy()
    states[7, 2] = np.nan
    replace_column(Dataset(root).data_path(1), 'observation.state', states)
    with pytest.raises(ValueError, match=r'episode 1, frame 7: observation\.state of joint_2'):
        Demonstrations.read({str(root): 1.0}, toy.embodiment())


def test_each_frame_of_an_episode_of_two_tasks_is_of_its_own(tmp_path: Path) -> None:
    root = toy.record(tmp_path / 'one', 1)
    dataset = Dataset(root)
    columns = dataset.read_episode(0)
    length = len(columns['index'])
    tasks = ['Touch it.'] * 10 + ['Let go.'] * (length - 10)
    video = tmp_path / 'copy.mp4'
    video.write_bytes(dataset.video_path(0).read_bytes())
    with DatasetWriter.create(tmp_path / 'two', dataset.schema) as writer:
        key = dataset.video_key()
        writer.commit(columns, {key: video}, tasks, dataset.episode_statistics(0))
    data = Demonstrations.read({str(root): 1.0, str(tmp_path / 'two'): 1.0}, toy.embodiment())
    named = [data.instructions[task] for task in data.task]
    assert named == [toy.INSTRUCTION] * length + tasks


def test_lists_that_lie_about_rate_or_length_are_refused(tmp_path: Path) -> None:
    root = toy.record(tmp_path / 'set', 2)
    path = root / 'meta' / 'episodes.jsonl'
    lines = path.read_text()
    path.write_text(lines.replace('"length": ', '"length": 1000000000000', 1))
    with pytest.raises(ValueError, match=r'rows of episodes\.jsonl, got'):
        Demonstrations.read({str(root): 1.0}, toy.embodiment())
    path.write_text(lines)
    info = json.loads((root / 'meta/info.json').read_text())
    info['fps'] *= 2
    (root / 'meta/info.json').write_text(json.dumps(info))
    with pytest.raises(ValueError, match=r'mp4: expected the \d+ frames a second'):
        Demonstrations.read({str(root): 1.0}, toy.embodiment())
