"""Videos of other recorders: copied where every frame keeps its place, else named with a remedy."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign_datasets import (
    LENGTHS,
    VIDEO,
    convert,
    encode,
    error_of,
    pictures,
    recode,
    shown,
    write,
)

from g1_data import Dataset
from g1_data.cli import main


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


def test_a_video_without_pictures_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Dataset(root).video_path(1)
    content = bytearray(path.read_bytes())
    count = content.index(b'stsz') + 12
    content[count : count + 4] = bytes(4)  # of the pictures in it
    path.write_bytes(content)
    assert f'{path}: cannot be decoded: no picture' in error_of(capsys, 'stats', root)
