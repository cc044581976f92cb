from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import toy_models as toy
from safetensors.torch import load_file, save_file

from dit4dit_policy.model.cosmos.backbone import CosmosBackbone
from dit4dit_policy.model.cosmos.text_encoder import QwenTextEncoder

PROMPTS = ['Pick up the flower.', 'Put it into the vase, please.']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return toy.qwen(tmp_path_factory.mktemp('cosmos'))


@pytest.fixture(scope='module')
def encoder(folder):
    return QwenTextEncoder(toy.QWEN, folder, torch.device('cpu'))


def test_embeds_as_the_pipeline_of_cosmos_predict_does(encoder, folder):
    from diffusers import Cosmos2_5_PredictBasePipeline
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    pipeline = SimpleNamespace(
        tokenizer=AutoTokenizer.from_pretrained(folder / 'tokenizer'),
        text_encoder=Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / 'text_encoder'),
        _execution_device=torch.device('cpu'),
    )
    with torch.no_grad():
        expected = Cosmos2_5_PredictBasePipeline._get_prompt_embeds(
            pipeline, PROMPTS, max_sequence_length=toy.QWEN.tokens
        )
    got = encoder(PROMPTS)
    assert got.shape == (2, toy.QWEN.tokens, toy.QWEN.width)
    torch.testing.assert_close(got, expected)
    assert (got[0] - got[1]).abs().max() > 0.1


def test_every_layer_has_mean_zero_and_deviation_one(encoder):
    layers = encoder(PROMPTS).unflatten(2, (toy.QWEN.layers, toy.QWEN.hidden))
    torch.testing.assert_close(layers.mean(-1), torch.zeros(2, 320, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(layers.std(-1), torch.ones(2, 320, 3), atol=1e-4, rtol=0)


def test_the_backbone_loads_it_when_it_first_has_to_and_is_not_saved_with_it(folder):
    video = CosmosBackbone(cast(Any, toy.with_qwen().backbone))
    assert video.text_encoder is None
    with pytest.raises(FileNotFoundError, match='no embedding at hand, and no folder of Cosmos'):
        video.embed(PROMPTS)
    video.frozen_folder = folder
    assert video.embed(PROMPTS).shape == (2, toy.QWEN.tokens, toy.QWEN.width)
    assert not any('text_encoder' in name for name in video.state_dict())
    assert deepcopy(video).text_encoder is video.text_encoder


def test_a_folder_without_it_or_with_another_one_is_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no text_encoder/ in .*: expected a folder of'):
        QwenTextEncoder(toy.QWEN, tmp_path, torch.device('cpu'))
    with pytest.raises(ValueError, match='expected 28 layers of 32, got 3 of 32'):
        QwenTextEncoder(replace(toy.QWEN, layers=28), folder, torch.device('cpu'))
    other = toy.qwen(tmp_path)
    path = other / 'text_encoder' / 'model.safetensors'
    weights = load_file(path)
    del weights[next(name for name in weights if name.endswith('layers.0.mlp.up_proj.weight'))]
    save_file(weights, path, metadata={'format': 'pt'})
    with pytest.raises(ValueError, match=r'1 missing keys, the first is .*mlp\.up_proj'):
        QwenTextEncoder(toy.QWEN, other, torch.device('cpu'))
