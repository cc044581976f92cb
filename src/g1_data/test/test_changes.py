"""What is changed in an episode browser, written as a new dataset; and numbers of episodes."""

from pathlib import Path

import numpy as np
import pytest

from g1_data import Dataset, DatasetWriter, Extra, Schema
from g1_data.changes import Change, cuts, keep_changes, read_changes, write_changed
from g1_data.measures import measure
from g1_data.validate import validate
from g1_description import load_embodiment
from g1_description.control_source import CONTROL_KEY, ControlSource

SHAPE = (48, 64)
SCHEMA = Schema.of(
    load_embodiment(), {'head': SHAPE}, extras={CONTROL_KEY: Extra((CONTROL_KEY,), 'uint8')}
)
LENGTH = 24


def recorded(root: Path, motions: list[np.ndarray], source: np.ndarray | None = None) -> Dataset:
    """One episode for each motion (T, 16); frame k of every video is as bright as k asks for."""
    with DatasetWriter.create(root, SCHEMA) as writer:
        for motion in motions:
            episode = writer.episode('Wave.')
            for k, row in enumerate(motion):
                image = np.full((*SHAPE, 3), 10 * k % 250, np.uint8)
                moved = np.array([0 if source is None else source[k]])
                episode.add(row, row, {'head': image}, {CONTROL_KEY: moved})
            pauses = [{'row': 8, 'seconds': 3.5}]
            episode.save({'healthy': True, 'text': '', 'outcome': 'success', 'pauses': pauses})
    return Dataset(root)


def ramp(length: int = LENGTH) -> np.ndarray:
    return np.linspace(0.0, 1.0, length)[:, None] * np.ones(16)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return recorded(tmp_path / 'set', [ramp()] * 4)


def test_all_changes_together_become_a_valid_new_dataset(dataset: Dataset, tmp_path: Path) -> None:
    before = dataset.content_hash()
    changes = {
        0: Change(dropped=True),
        1: Change(task='Bow.', outcome='failure', flag='hits the table'),
        2: Change(parts=((5, 20),)),
        3: Change(parts=((0, 10), (10, LENGTH))),
    }
    new = write_changed(dataset, changes, tmp_path / 'new')
    assert validate(new.root) == []
    assert Dataset(dataset.root).content_hash() == before
    assert [episode.length for episode in new.episodes] == [24, 15, 10, 14]
    assert [episode.task for episode in new.episodes] == ['Bow.', 'Wave.', 'Wave.', 'Wave.']
    said = [dict(episode.health or {}) for episode in new.episodes]
    assert [s['outcome'] for s in said] == ['failure', 'success', '', 'success']
    assert said[0]['flag'] == 'hits the table' and all(s['healthy'] for s in said)
    rows = [[pause['row'] for pause in s['pauses']] for s in said]
    assert rows == [[8], [3], [8], []]  # of the same moment in each


def test_rows_and_pictures_of_a_part_stay_together(dataset: Dataset, tmp_path: Path) -> None:
    new = write_changed(dataset, {1: Change(parts=((5, 20),))}, tmp_path / 'new')
    state = new.read_episode(1)['observation.state']
    np.testing.assert_array_equal(state, ramp()[5:20].astype(np.float32))
    brightness = [frame.mean() for frame in new.frames(1)]
    np.testing.assert_allclose(brightness, 10 * np.arange(5, 20), atol=3)


def test_a_cut_elsewhere_than_at_a_key_frame_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    assert cuts(dataset, 0) == [0, 5, 10, 15, 20, LENGTH]
    with pytest.raises(ValueError, match='no key frame'):
        write_changed(dataset, {0: Change(parts=((3, 20),))}, tmp_path / 'new')
    assert not (tmp_path / 'new').exists()


def test_changes_outlive_the_program_until_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / 'changes.json'
    changes = {3: Change(flag='odd', parts=((0, 5), (5, 9))), 7: Change(dropped=True)}
    keep_changes(path, changes)
    assert read_changes(path) == changes
    assert [c.words for c in changes.values()] == ['flag: odd, rows 0 to 4 and 5 to 8', 'dropped']
    keep_changes(path, {})
    assert not path.exists() and read_changes(path) == {}
    path.write_text('{"3": {"colour": 1}}')
    with pytest.raises(ValueError, match=r'changes\.json: no changes of a dataset'):
        read_changes(path)


def test_measures_tell_a_smooth_episode_from_one_that_jumps_and_one_that_rests(
    tmp_path: Path,
) -> None:
    time = np.linspace(0.0, 1.0, 60)[:, None] * np.ones(16)
    smooth, steps = np.sin(3.0 * time), np.floor(5.0 * time) / 5.0
    resting = np.where(time < 0.5, 0.0, time - 0.5)
    source = np.where(np.arange(60) < 45, ControlSource.POLICY, ControlSource.OPERATOR)
    dataset = recorded(tmp_path / 'set', [smooth, steps, resting], source)
    of_smooth, of_steps, of_resting = (measure(dataset, k) for k in range(3))
    assert of_smooth.seams == 0.0 < of_steps.seams
    assert of_smooth.jerk < of_steps.jerk / 10.0
    assert of_smooth.stillness < 0.05 and of_resting.stillness == pytest.approx(0.5, abs=0.05)
    assert of_smooth.source == 'policy 75 %, operator 25 %'


def test_an_episode_of_one_row_has_measures(tmp_path: Path) -> None:
    dataset = recorded(tmp_path / 'set', [ramp(1)])
    assert measure(dataset, 0).source == 'policy'
