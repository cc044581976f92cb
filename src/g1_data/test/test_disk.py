"""What a person is told when a file cannot be written."""

import errno
import os
import shutil
from collections import namedtuple

import pytest

from g1_data.disk import explained, says_full_disk


@pytest.mark.parametrize(
    ('number', 'said'),
    [
        (errno.ENOSPC, '/data/x: the disk is full; make room, or name a folder on another disk'),
        (errno.EROFS, '/data/x: read-only file system; expected a folder that you may write to'),
        (errno.EACCES, '/data/x: permission denied; expected a folder that you may write to'),
        (errno.ENOTDIR, '/data/x: not a directory'),
    ],
)
def test_the_sentence_names_the_file_and_what_to_do(number, said):
    assert explained(OSError(number, os.strerror(number), '/data/x')).startswith(said)


def test_words_of_ours_stay_as_they_are():
    assert explained(FileNotFoundError('no dataset here')) == 'no dataset here'


def test_a_library_that_fails_on_a_full_disk_is_understood(tmp_path, monkeypatch):
    usage = namedtuple('usage', 'total used free')
    for free, kind in ((0, OSError), (10**9, RuntimeError)):
        monkeypatch.setattr(shutil, 'disk_usage', lambda _, free=free: usage(0, 0, free))
        with pytest.raises(kind), says_full_disk(tmp_path / 'not' / 'yet'):
            raise RuntimeError('unexpected pos 64 vs 0')
        with pytest.raises(ValueError, match='too few'), says_full_disk(tmp_path):
            raise ValueError('4 episodes are too few')
