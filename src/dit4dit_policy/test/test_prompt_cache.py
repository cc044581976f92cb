"""Prompt embeddings on disk: a text encoder is loaded only where one is missing or spoilt."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
import toy_models as toy

from dit4dit_policy.inference.prompt_cache import PromptCache, default_folder
from dit4dit_policy.model.cosmos.backbone import CosmosBackbone

TEXTS = ['Pick up the flower.', 'Put it into the vase, please.']


@pytest.fixture(scope='module')
def cosmos(tmp_path_factory):
    return toy.qwen(tmp_path_factory.mktemp('cosmos'))


def _video(cosmos=None, dtype=torch.float32):
    torch.manual_seed(0)
    video = CosmosBackbone(cast(Any, toy.with_qwen().backbone)).to(dtype)
    video.frozen_folder = cosmos
    return video


def test_the_text_encoder_is_not_needed_where_every_embedding_is_on_disk(cosmos, tmp_path):
    video = _video(cosmos)
    first = PromptCache(video, tmp_path)
    first.embed(TEXTS)
    assert video.text_encoder is None  # let go, once everything is known
    without = PromptCache(_video(), tmp_path)
    for text in TEXTS:
        assert torch.equal(without[text], first[text])
    assert not torch.equal(without[TEXTS[0]], without[TEXTS[1]])
    with pytest.raises(FileNotFoundError, match='no embedding at hand'):
        without['Another instruction.']


def test_another_precision_has_an_embedding_of_its_own(cosmos, tmp_path):
    PromptCache(_video(cosmos, torch.bfloat16), tmp_path).embed(TEXTS)
    with pytest.raises(FileNotFoundError, match='no embedding at hand'):
        PromptCache(_video(), tmp_path)[TEXTS[0]]


def _cut_short(path, _other):
    path.write_bytes(path.read_bytes()[:-100])


def _flip_a_bit(path, _other):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def _empty(path, _other):
    path.write_bytes(b'')


def _of_another_text(path, other):
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize('spoil', [_cut_short, _flip_a_bit, _empty, _of_another_text])
def test_a_spoilt_file_is_computed_again(cosmos, tmp_path, spoil):
    PromptCache(_video(cosmos), tmp_path)[TEXTS[0]]
    (path,) = tmp_path.iterdir()
    wanted = PromptCache(_video(cosmos), tmp_path)
    wanted.embed(TEXTS)
    (other,) = set(tmp_path.iterdir()) - {path}
    spoil(path, other)
    assert torch.equal(PromptCache(_video(cosmos), tmp_path)[TEXTS[0]], wanted[TEXTS[0]])
    assert torch.equal(PromptCache(_video(), tmp_path)[TEXTS[0]], wanted[TEXTS[0]])  # mended


def test_a_folder_that_cannot_be_written_costs_the_cache_only(cosmos, tmp_path, caplog):
    (tmp_path / 'file').write_text('')
    cache = PromptCache(_video(cosmos), tmp_path / 'file' / 'prompts')
    assert cache[TEXTS[0]].isfinite().all()
    assert 'not kept' in caplog.text


def test_the_default_folder_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert default_folder() == tmp_path / 'dit4dit' / 'prompts'
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert default_folder() == Path.home() / '.cache' / 'dit4dit' / 'prompts'
