"""A checkpoint that cannot be used is refused before anything starts."""

import shutil
from pathlib import Path

import pytest

from dit4dit_policy.inference.shipped import checkpoint_folder
from g1_bringup.arguments import check
from g1_bringup.system import ArgumentError
from g1_bringup.systems import find


def copied_checkpoint(folder: Path, **changes: str) -> Path:
    """The shipped one; changes: the text of some of its files."""
    shutil.copytree(checkpoint_folder(), folder)
    for name, text in changes.items():
        (folder / f'{name}.json').write_text(text)
    return folder


def refused_checkpoint(folder: Path, **others: str) -> str:
    with pytest.raises(ArgumentError) as refusal:
        check(find('policy.launch.py'), {'checkpoint': str(folder), **others})
    return str(refusal.value)


def test_a_checkpoint_that_is_none_is_refused(tmp_path):
    (tmp_path / 'empty').mkdir()
    assert 'has no config.json, model.safetensors, processor.json' in refused_checkpoint(
        tmp_path / 'empty'
    )
    cut = copied_checkpoint(tmp_path / 'cut', config='{"format": 2, "mod')
    assert 'config.json: not JSON' in refused_checkpoint(cut)
    old = copied_checkpoint(tmp_path / 'old', processor='{"format": 1}')
    assert f'dit4dit convert --upgrade {old}' in refused_checkpoint(old)
    assert 'dit4dit convert' in refused_checkpoint(tmp_path / 'model.pt')


def test_a_checkpoint_of_another_robot_is_refused_where_the_policy_is_to_run(tmp_path):
    text = (checkpoint_folder() / 'processor.json').read_text()
    foreign = copied_checkpoint(tmp_path / 'panda', processor=text.replace('left_elbow', 'panda_4'))
    error = refused_checkpoint(foreign)
    assert 'panda_4_joint' in error and 'g1_aloha has left_shoulder_pitch_joint' in error
    other = {'checkpoint': str(foreign), 'machine': 'robot'}
    assert check(find('policy.launch.py'), other)['machine'] == 'robot'
