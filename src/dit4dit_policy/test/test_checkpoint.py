import json
from dataclasses import replace
from typing import Any

import pytest
import torch
import toy_models as toy
from safetensors.torch import load_file, save_file

from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.dit4dit import DiT4DiT

PROOF = {'trained': True, 'steps': 3}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    checkpoint.save(DiT4DiT(toy.tiny()), tmp_path / 'ours', PROOF)
    return tmp_path / 'ours'


@pytest.fixture(scope='module')
def cosmos_folder(tmp_path_factory):
    return toy.cosmos(tmp_path_factory.mktemp('cosmos'))


def _equal(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_weights_survive_the_file(folder):
    model, training = checkpoint.load(folder)
    checkpoint.save(model, folder / 'again', training)
    _equal(checkpoint.load(folder / 'again')[0].state_dict(), model.state_dict())
    assert training == PROOF
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert {n for n, p in model.named_parameters() if not p.requires_grad} == {
        n
        for n, _ in model.named_parameters()
        if n.startswith(('backbone.vae', 'backbone.text_encoder'))
    }


def test_a_loaded_model_does_what_the_saved_one_did(folder):
    model: Any = checkpoint.load(folder)[0]
    with torch.no_grad():
        fresh: Any = DiT4DiT(model.config).eval()
        fresh.load_state_dict(model.state_dict())
        batch = toy.batch(model.config)
        for each in (model, fresh):
            each.prompt = each.backbone.embed([toy.INSTRUCTION])
            each.clip = each.backbone.encode(torch.ones(1, 3, 1, 32, 48) / 3)
            each.out = each.backbone.velocity(batch.latents, batch.prompt, torch.rand(4) * 0 + 0.5)
    assert torch.equal(model.prompt, fresh.prompt)
    assert torch.equal(model.clip, fresh.clip)
    assert torch.equal(model.out, fresh.out)


def test_weights_load_in_the_precision_asked_for(folder):
    half, _ = checkpoint.load(folder, torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    stored, _ = checkpoint.load(folder, None)
    _equal(stored.state_dict(), half.state_dict())
    assert half.backbone.latents_mean.dtype == torch.float32


def test_writing_over_a_checkpoint_leaves_the_loaded_model_alone(folder):
    model, training = checkpoint.load(folder, None)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    checkpoint.save(DiT4DiT(toy.tiny()), folder, training)
    _equal(model.state_dict(), before)


def test_cosmos_gives_the_video_dit_and_the_vae(cosmos_folder, tmp_path):
    from diffusers import AutoencoderKLWan, CosmosTransformer3DModel

    model = checkpoint.from_pretrained(cosmos_folder, toy.with_qwen())
    assert len(list((cosmos_folder / 'transformer').glob('*.safetensors'))) > 1  # it is in shards
    for name, kind in (('transformer', CosmosTransformer3DModel), ('vae', AutoencoderKLWan)):
        expected = kind.from_pretrained(cosmos_folder / name).state_dict()
        _equal(getattr(model.backbone, name).state_dict(), expected)
    assert all(p.isfinite().all() for p in model.parameters())
    backbone: Any = model.config.backbone
    text = backbone.text
    assert model.backbone.embed(['Do it.']).shape == (1, text.tokens, text.width)


def test_frozen_parts_of_cosmos_are_referred_to_not_copied(cosmos_folder, tmp_path):
    model = checkpoint.from_pretrained(cosmos_folder, toy.with_qwen())
    checkpoint.save(model, tmp_path, PROOF, torch.float32)
    assert not [n for n in load_file(tmp_path / 'model.safetensors') if not n.startswith(
        ('backbone.transformer.', 'action.')
    )]  # fmt: skip
    again, _ = checkpoint.load(tmp_path)
    _equal(again.state_dict(), model.state_dict())
    assert again.backbone.frozen_folder == cosmos_folder
    _json(tmp_path / 'config.json', frozen='/nowhere')
    with pytest.raises(FileNotFoundError, match=r'frozen parts are expected in /nowhere: .*put'):
        checkpoint.load(tmp_path)


def test_another_architecture_than_the_presets_is_refused(cosmos_folder):
    config = toy.with_qwen()
    video: Any = config.backbone
    deeper = replace(video, transformer=replace(video.transformer, num_layers=5))
    with pytest.raises(ValueError, match=r'transformer/config.json: num_layers is 3, expected 5'):
        checkpoint.from_pretrained(cosmos_folder, replace(config, backbone=deeper))
    wider = replace(video, vae=replace(video.vae, base_dim=16))
    with pytest.raises(ValueError, match=r'vae/config.json: base_dim is 8, expected 16'):
        checkpoint.from_pretrained(cosmos_folder, replace(config, backbone=wider))


def test_an_incomplete_cosmos_folder_is_refused(tmp_path):
    folder, config = toy.cosmos(tmp_path), toy.with_qwen()
    shards = sorted((folder / 'transformer').glob('*.safetensors'))
    hidden = shards[0].rename(folder / 'hidden')
    with pytest.raises(FileNotFoundError, match=rf'no {shards[0].name} in .*, which .* lists'):
        checkpoint.from_pretrained(folder, config)
    hidden.rename(shards[0])
    weights = load_file(shards[0])
    weights.pop(sorted(weights)[0])
    save_file(weights, shards[0])
    with pytest.raises(ValueError, match=r'index\.json: lists .*, which .* does not hold'):
        checkpoint.from_pretrained(folder, config)
    with pytest.raises(
        FileNotFoundError, match=r'no config\.json in .*expected a folder of Cosmos'
    ):
        checkpoint.from_pretrained(folder / 'tokenizer', config)


def _json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _weights(folder, change):
    weights = load_file(folder / 'model.safetensors')
    change(weights)
    save_file(weights, folder / 'model.safetensors')


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


TABLE = 'action.position_embedding.weight'


@pytest.mark.parametrize(
    ('spoil', 'error', 'message'),
    [
        (lambda f: (f / 'config.json').unlink(), FileNotFoundError, r'no config\.json in'),
        (lambda f: (f / 'config.json').write_text('{'), ValueError, r'config\.json: not JSON'),
        (lambda f: _json(f / 'config.json', format=7), ValueError, 'expected format 3, got 7'),
        (
            lambda f: (f / 'config.json').write_text('{"format": 2}'),
            ValueError,
            'expected model and training, model is missing',
        ),
        (lambda f: _json(f / 'config.json', model={'layers': 3}), ValueError, r"unknown \['layers"),
        (lambda f: (f / 'model.safetensors').unlink(), FileNotFoundError, 'no model.safetensors'),
        (lambda f: _cut(f / 'model.safetensors'), ValueError, 'cut short'),
        (
            lambda f: _weights(f, lambda w: w.pop(TABLE)),
            ValueError,
            rf'1 of \d+ weights are missing, the first is {TABLE}; expected those of',
        ),
        (
            lambda f: _weights(f, lambda w: w.update(extra=torch.zeros(1))),
            ValueError,
            r'1 of \d+ weights are unknown, the first is extra',
        ),
        (
            lambda f: _weights(f, lambda w: w[TABLE].view(-1)[0].fill_(float('nan'))),
            ValueError,
            rf'{TABLE} is not finite; train or copy',
        ),
        (
            lambda f: _weights(f, lambda w: w.update({TABLE: torch.zeros(3, 32)})),
            ValueError,
            rf'{TABLE} should be \(16, 32\) by the configuration, is \(3, 32\)',
        ),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_what_is_wrong(folder, spoil, error, message):
    spoil(folder)
    with pytest.raises(error, match=message):
        checkpoint.load(folder)
