"""A golden folder is made here by the plain `diffusers` classes and by the formulas themselves."""

import json
from dataclasses import asdict
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dit4dit_policy import cli
from dit4dit_policy.model import flow, released
from dit4dit_policy.model.action_dit import ActionDiT
from dit4dit_policy.model.cosmos.config import TransformerConfig, VaeConfig
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.presets import preset

TRANSFORMER = TransformerConfig(
    num_attention_heads=1, attention_head_dim=16, num_layers=3, text_embed_dim=16,
    adaln_lora_dim=8, crossattn_proj_in_channels=24, encoder_hidden_states_channels=16,
    max_size=(8, 16, 16),
)  # fmt: skip
VAE = VaeConfig(base_dim=4, num_res_blocks=1)
HEAD = {
    'hidden_size': 24, 'action_dim': 8, 'state_dim': 6, 'future_action_window_size': 3,
    'max_seq_len': 16, 'num_inference_timesteps': 4,
    'diffusion_model_cfg': {'cross_attention_dim': 10, 'num_layers': 2, 'output_dim': 24},
}  # fmt: skip


@pytest.fixture(scope='module')
def golden(tmp_path_factory):
    folder = tmp_path_factory.mktemp('golden')
    torch.manual_seed(0)
    with torch.no_grad():
        _record_head(folder / 'action_head.safetensors')
        _record_video(folder / 'video_backbone.safetensors')
    return folder


def _record_head(path):
    settings = {'framework': {'action_model': HEAD}}
    head = ActionDiT(released.action_config(settings, 'here', (32, 2))).eval()
    given = {
        'actions': torch.rand(2, 4, 8), 'noise': torch.randn(2, 4, 8), 'h': torch.randn(2, 5, 10),
        'state': torch.randn(2, 1, 6), 'sample_noise': torch.randn(2, 4, 8),
        'loss_t': torch.rand(2), 'loss_noise': torch.randn(2, 4, 8),
        'mask': torch.ones(2, 4, 8).tril(),
    }  # fmt: skip
    velocity = head.velocity(given['h'], given['state'])
    tau = given['loss_t'][:, None, None]
    noisy = (1 - tau) * given['actions'] + tau * given['loss_noise']
    predicted = torch.cat(
        [velocity(noisy, t.item())[i, None] for i, t in enumerate(given['loss_t'])]
    )
    error = (predicted - given['loss_noise'] + given['actions']).square() * given['mask']
    outputs = {
        'velocity_t0.5': velocity((given['actions'] + given['noise']) / 2, 0.5),
        'actions': flow.euler(velocity, given['sample_noise'], 4),
        'loss': error.sum() / given['mask'].sum(),
    }
    whole = {'config': settings, 'num_attention_heads': 2, 'attention_head_dim': 16}
    _save(path, whole, head.state_dict(), given, outputs, 'w.')


def _record_video(path):
    from diffusers import AutoencoderKLWan, CosmosTransformer3DModel

    # The padding mask, all zeros, goes in as one more channel: resizing it takes torchvision.
    net: Any = CosmosTransformer3DModel(
        **asdict(TRANSFORMER) | {'in_channels': 18, 'concat_padding_mask': False}
    )
    net.eval()
    vae: Any = AutoencoderKLWan(
        base_dim=4, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1, attn_scales=[],
        temperal_downsample=[False, True, True],
    )  # fmt: skip
    vae.eval()
    given = {
        'image_btchw01': torch.rand(1, 1, 3, 32, 32), 'future_btchw01': torch.rand(1, 9, 3, 32, 32),
        'prompt_embeds': torch.randn(1, 7, 24), 'noise': torch.randn(1, 16, 3, 4, 4),
    }  # fmt: skip
    clip, mask = torch.randn(1, 16, 3, 4, 4), torch.zeros(1, 1, 3, 4, 4)
    clip[:, :, 1:], mask[:, :, 0] = given['noise'][:, :, 1:], 1
    times = torch.tensor([1e-4, 0.9, 0.9]).view(1, 1, 3, 1, 1)
    seen = []
    hook = net.transformer_blocks[1].register_forward_hook(lambda _m, _x, out: seen.append(out))
    masks = torch.cat([mask, torch.zeros_like(mask)], dim=1)
    velocity = net(clip, times, given['prompt_embeds'], condition_mask=masks, return_dict=False)[0]
    hook.remove()
    mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (VAE.latents_mean, VAE.latents_std))
    latents = vae.encode(given['future_btchw01'].transpose(1, 2) * 2 - 1).latent_dist.mean
    decoded = vae.decode(latents).sample / 2 + 0.5
    outputs = {
        'hidden': seen[0], 'velocity': velocity, 'transformer_input': clip, 'condition_mask': mask,
        'timestep': times, 'latents_norm_9frames': (latents - mean) * std,
        'decode_latents': decoded.clamp(0, 1).transpose(1, 2),
    }  # fmt: skip
    settings = {
        'transformer_config': asdict(TRANSFORMER), 'extract_layer': 1,
        'conditional_frame_timestep': 1e-4,
        'vae_config': {k: v for k, v in asdict(VAE).items() if not k.startswith('latents')},
    }  # fmt: skip
    weights = {f'transformer.{n}': t for n, t in net.state_dict().items()}
    weights |= {f'vae.{n}': t for n, t in vae.state_dict().items()}
    _save(path, settings, weights | {'sigma_first': torch.tensor([0.9])}, given, outputs)


def _save(path, settings, weights, given, outputs, prefix=''):
    tensors = {prefix + name: tensor for name, tensor in weights.items()}
    tensors |= {f'in.{name}': tensor for name, tensor in given.items()}
    tensors |= {f'out.{name}': tensor for name, tensor in outputs.items()}
    metadata = {name: json.dumps(value) for name, value in settings.items()}
    save_file({n: t.contiguous() for n, t in tensors.items()}, path, metadata)


def test_recorded_outputs_agree(golden, capsys):
    assert cli.main(['verify', '--golden', str(golden)]) == 0
    out = capsys.readouterr().out
    for output in ('velocity_t0.5', 'loss', 'hidden', 'timestep', 'latents_norm_9frames'):
        assert output in out
    assert 'DIFFERS' not in out


def _changed(golden, tmp_path, change, name='action_head.safetensors'):
    from safetensors import safe_open

    tensors = load_file(golden / name)
    with safe_open(golden / name, 'pt') as file:
        metadata = file.metadata()
    change(tensors, metadata)
    save_file(tensors, tmp_path / name, metadata)
    return tmp_path


def test_an_output_off_by_little_more_than_the_limit_is_found(golden, tmp_path, capsys):
    def change(tensors, _metadata):
        tensors['out.actions'][0, 0, 0] += 2e-4

    folder = _changed(golden, tmp_path, change)
    assert cli.main(['verify', '--golden', str(folder)]) == 1
    out = capsys.readouterr().out
    assert '2.0e-04' in out
    assert out.count('DIFFERS') == 1


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda t, _m: t.update({'out.x': torch.zeros(1)}), 'nothing to compare out.x with'),
        (lambda t, _m: t.pop('in.state'), 'has no input state'),
        (lambda _t, m: m.pop('config'), 'its metadata has no config'),
        (lambda t, _m: t.pop('w.state_encoder.layer1.bias'), 'first is state_encoder.layer1.bias'),
        (
            lambda _t, m: m.update(config=m['config'].replace('"hidden_size": 24', '"x": 0')),
            'is 24, only 2560 can be represented',
        ),
    ],
)
def test_a_folder_of_another_format_is_refused(golden, tmp_path, capsys, change, message):
    folder = _changed(golden, tmp_path, change)
    assert cli.main(['verify', '--golden', str(folder)]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_recordings_is_refused(tmp_path, capsys):
    assert cli.main(['verify', '--golden', str(tmp_path)]) == 2
    assert 'expected action_head.safetensors or video_backbone' in capsys.readouterr().err


@pytest.fixture(scope='module')
def keys():
    with torch.device('meta'):
        model = DiT4DiT(preset('released'))
    back = {ours: theirs for theirs, ours in released.PREFIXES.items()}
    listed = {}
    for name, tensor in model.state_dict().items():
        prefix = next(p for p in back if name.startswith(p))
        listed[back[prefix] + name.removeprefix(prefix)] = list(tensor.shape)
    return listed


def test_names_and_shapes_of_the_released_preset(keys, tmp_path, capsys):
    path = tmp_path / 'keys.json'
    path.write_text(json.dumps(keys))
    assert cli.main(['verify', '--keys', str(path)]) == 0
    assert '2,222,451,232 trainable values' in capsys.readouterr().out


def test_every_difference_of_names_and_shapes_is_told(keys, tmp_path, capsys):
    changed = dict(keys)
    changed.pop('action_model.position_embedding.weight')
    changed['action_model.future_tokens.weight'] = [32, 768]
    changed['backbone_interface.extractor.vae.encoder.conv_in.bias'] = [97]
    path = tmp_path / 'keys.json'
    path.write_text(json.dumps(changed))
    assert cli.main(['verify', '--keys', str(path)]) == 1
    out = capsys.readouterr().out
    assert 'missing: action.position_embedding.weight' in out
    assert 'left over: action.future_tokens.weight' in out
    assert 'backbone.vae.encoder.conv_in.bias: (96,) here, (97,) there' in out
    path.write_text(json.dumps({'lm_head.weight': [1]}))
    assert cli.main(['verify', '--keys', str(path)]) == 2
    assert 'unknown weight lm_head.weight' in capsys.readouterr().err
