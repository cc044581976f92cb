"""`g1 dataset`: what a person sees, and that each way of breaking a dataset is named."""

import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from g1_data import Dataset, DatasetWriter, Schema
from g1_data.cli import main
from g1_description import load_embodiment

SHAPE = (48, 64)
SCHEMA = Schema.of(load_embodiment(), {'head': SHAPE})
PARQUET = 'data/chunk-000/episode_000001.parquet'
VIDEO = 'videos/chunk-000/observation.images.ego_view/episode_000001.mp4'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    with DatasetWriter.create(tmp_path / 'set', SCHEMA) as writer:
        for length in (8, 12):
            with writer.episode('Pick up the flower.') as episode:
                for k in range(length):
                    image = np.full((*SHAPE, 3), k * 10, dtype=np.uint8)
                    episode.add(rng.normal(size=16), rng.normal(size=16), {'head': image})
    return tmp_path / 'set'


def test_a_written_dataset_is_valid(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['validate', str(root)]) == 0
    assert 'valid, 2 episodes' in capsys.readouterr().out


def test_info_shows_a_table_and_writes_a_picture(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['info', str(root), '--picture', str(tmp_path / 'sheet.png')]) == 0
    output = capsys.readouterr().out
    for expected in ('20 at 10 fps', '64x48', 'Pick up the flower.', 'right_gripper_joint'):
        assert expected in output
    with Image.open(tmp_path / 'sheet.png') as sheet:
        assert sheet.width > 6 * 64


def test_no_number_is_cut_in_80_columns(capsys, monkeypatch) -> None:
    monkeypatch.setenv('COLUMNS', '80')
    motion = Path(__file__).parents[3] / 'docs' / 'first-motion'
    assert main(['info', str(motion)]) == 0
    assert '…' not in capsys.readouterr().out


def test_merge_makes_a_valid_dataset(root: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    assert main(['merge', str(root), str(root), '--out', str(out)]) == 0
    assert main(['validate', str(out)]) == 0
    assert len(Dataset(out).episodes) == 4


def test_split_gives_every_task_its_share(root: Path, tmp_path: Path) -> None:
    whole, rest, out = tmp_path / 'whole', tmp_path / 'rest', tmp_path / 'part'
    assert main(['merge', str(root), str(root), '--out', str(whole)]) == 0
    assert main(['split', str(whole), '0.25', '--rest', str(rest), '--out', str(out)]) == 0
    assert (len(Dataset(rest).episodes), len(Dataset(out).episodes)) == (3, 1)
    assert main(['validate', str(rest)]) == main(['validate', str(out)]) == 0
    assert len(Dataset(whole).episodes) == 4


def test_drop_leaves_episodes_out_of_a_new_dataset(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    assert main(['drop', str(root), '0', '--out', str(out)]) == 0
    assert [episode.length for episode in Dataset(out).episodes] == [12]
    assert main(['validate', str(out)]) == 0
    assert main(['drop', str(root), '7', '--out', str(tmp_path / 'none')]) == 2
    assert 'has the episodes 0 to 1, got 7' in capsys.readouterr().err


def test_nothing_is_written_where_something_is(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['drop', str(root), '0', '--out', str(root)]) == 2
    assert 'exists' in capsys.readouterr().err
    assert main(['validate', str(root)]) == 0


def test_stats_mends_statistics_and_keeps_the_old_ones(root: Path) -> None:
    edit_statistics(root)
    before = (root / 'meta/episodes_stats.jsonl').read_text()
    assert main(['validate', str(root)]) == 1
    assert main(['stats', str(root)]) == 0
    assert main(['validate', str(root)]) == 0
    (kept,) = (root / '.aside').iterdir()
    assert kept.read_text() == before


def test_a_folder_that_is_no_dataset_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['info', str(tmp_path)]) == 2
    assert 'info.json is missing' in capsys.readouterr().err


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_column(root: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    table = pq.read_table(root / PARQUET)
    position = table.schema.get_field_index(name)
    values = pa.array(change(table[name].to_numpy().copy()), table.schema.field(name).type)
    pq.write_table(table.set_column(position, name, values), root / PARQUET)


def drop_column(root: Path) -> None:
    pq.write_table(pq.read_table(root / PARQUET).drop_columns(['action']), root / PARQUET)


def drop_row(root: Path) -> None:
    pq.write_table(pq.read_table(root / PARQUET).slice(0, 11), root / PARQUET)


def shift(values: np.ndarray) -> np.ndarray:
    values[3:] += 1
    return values


def spoil(values: np.ndarray) -> np.ndarray:
    values[5] = np.full(16, np.nan, dtype=np.float32)
    return values


def shorten_video(root: Path) -> None:
    short = root / VIDEO.replace('000001', '000000')
    (root / VIDEO).write_bytes(short.read_bytes())


def recode_video(root: Path) -> None:
    with av.open(str(root / VIDEO), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.height, stream.width = SHAPE
        for _ in range(12):
            frame = av.VideoFrame.from_ndarray(np.zeros((*SHAPE, 3), np.uint8), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def edit_statistics(root: Path) -> None:
    path = root / 'meta/episodes_stats.jsonl'
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]['stats']['action']['mean'][0] += 1
    path.write_text('\n'.join(json.dumps(line) for line in lines))


def drop_line(root: Path, name: str) -> None:
    path = root / 'meta' / name
    path.write_text(path.read_text().splitlines()[0] + '\n')


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda r: (r / 'meta/info.json').unlink(), 'meta/info.json: missing'),
        (
            lambda r: edit_json(r / 'meta/info.json', codebase_version='v3.0'),
            'codebase_version: expected v2.1, got v3.0',
        ),
        (lambda r: edit_json(r / 'meta/info.json', total_frames=21), 'add up to 20, got 21'),
        (lambda r: edit_json(r / 'meta/info.json', features={}), 'action is missing'),
        (lambda r: (r / 'meta/modality.json').unlink(), 'meta/modality.json: missing'),
        (lambda r: (r / 'meta/tasks.jsonl').write_text('{"task'), 'tasks.jsonl, line 1: not JSON'),
        (lambda r: drop_line(r, 'episodes.jsonl'), 'episodes.jsonl: expected the episodes 0 to 1'),
        (
            lambda r: drop_line(r, 'episodes_stats.jsonl'),
            'episodes_stats.jsonl: expected the episodes 0 to 1',
        ),
        (edit_statistics, 'episode 1: action: mean is not that of the data'),
        (lambda r: (r / PARQUET).unlink(), f'{PARQUET}: missing'),
        (lambda r: (r / PARQUET).write_text('no'), f'{PARQUET}: not a parquet file'),
        (drop_column, f'{PARQUET}: column action is missing'),
        (drop_row, f'{PARQUET}: expected the 12 rows of episodes.jsonl, got 11'),
        (lambda r: edit_column(r, 'timestamp', shift), 'timestamp: expected frame_index / 10'),
        (lambda r: edit_column(r, 'index', shift), 'index: expected 11 at frame 3, got 12'),
        (lambda r: edit_column(r, 'task_index', shift), 'task_index: expected 0 at frame 3'),
        (lambda r: edit_column(r, 'observation.state', spoil), 'NaN or Inf at frame 5'),
        (lambda r: (r / VIDEO).unlink(), f'{VIDEO}: missing'),
        (lambda r: (r / VIDEO).write_bytes(b'no'), f'{VIDEO}: cannot be decoded'),
        (shorten_video, f'{VIDEO}: expected the 12 frames of episodes.jsonl, got 8'),
        (recode_video, f'{VIDEO}: expected 10 frames a second, got 25'),
        (
            lambda r: (r / PARQUET.replace('000001', '000007')).touch(),
            'episode_000007.parquet: belongs to no episode',
        ),
    ],
)
def test_each_fault_is_named(
    root: Path, damage: Callable[[Path], None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(root)
    assert main(['validate', str(root)]) == 1
    output = capsys.readouterr().out
    assert message in output
    assert output.splitlines()[-1].endswith(('1 fault', 'faults'))


def test_a_dataset_of_that_format_already_needs_no_conversion(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['convert', str(root), '--to', 'v2.1', '--out', str(tmp_path / 'x')]) == 2
    assert 'is LeRobot v2.1 already, there is nothing to convert' in capsys.readouterr().err
    three = tmp_path / 'three'
    assert main(['convert', str(root), '--to', 'v3.0', '--out', str(three)]) == 0
    assert main(['convert', str(three), '--to', 'v3.0', '--out', str(tmp_path / 'x')]) == 2
    assert 'is LeRobot v3.0 already' in capsys.readouterr().err
    assert main(['validate', str(three)]) == 1
    said = ' '.join(capsys.readouterr().out.split())
    assert f'g1 dataset convert {three} --to v2.1 --out DIR' in said
    assert said.endswith('1 fault')
    assert not (tmp_path / 'x').exists()


def test_a_picture_that_is_there_is_kept(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / 'sheet.png'
    picture.write_text('mine')
    assert main(['info', str(root), '--picture', str(picture)]) == 2
    assert 'sheet.png exists and is kept' in capsys.readouterr().err
    assert picture.read_text() == 'mine'
