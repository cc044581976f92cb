from dataclasses import replace
from typing import Any

import pytest
import torch
import toy_models as toy

from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.presets import preset


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return DiT4DiT(toy.tiny()).eval()


@pytest.fixture
def batch():
    return toy.batch(toy.tiny())


def test_shapes(model, batch):
    channels, frames, height, width = model.config.backbone.latent_shape
    image = torch.rand(4, 3, 1, 32, 48)
    assert model.backbone.encode(image).shape == (4, channels, 1, height, width)
    assert model.backbone.decode(batch.latents).shape == (4, 3, frames, 32, 48)
    assert model.backbone.velocity(batch.latents, batch.prompt, torch.rand(4)).shape == (
        batch.latents.shape
    )
    features = model.backbone.features(
        batch.latents[:, :, :1], batch.latents, batch.prompt, torch.rand(4)
    )
    assert features.shape == (4, frames * height * width // 4, model.config.action.feature_dim)
    velocity = model.action.velocity(features, batch.state)
    assert model.sample_actions(velocity, batch.actions).shape == (4, 16, 16)


def test_features_are_what_the_feature_layer_gives_in_the_whole_pass(model, batch):
    seen = []
    block = model.backbone.transformer.transformer_blocks[model.config.backbone.feature_layer]
    hook = block.register_forward_hook(lambda _m, _i, out: seen.append(out))
    tau = torch.full((4,), 0.7)
    model.backbone.velocity(batch.latents, batch.prompt, tau)
    hook.remove()
    features = model.backbone.features(batch.latents[:, :, :1], batch.latents, batch.prompt, tau)
    assert torch.equal(features, seen[0])


def test_features_can_be_the_mean_over_all_blocks(model, batch):
    seen = []
    blocks = model.backbone.transformer.transformer_blocks
    hooks = [b.register_forward_hook(lambda _m, _i, out: seen.append(out)) for b in blocks]
    tau = torch.full((4,), 0.7)
    model.backbone.velocity(batch.latents, batch.prompt, tau)
    for hook in hooks:
        hook.remove()
    mean = _with(model, feature_layer='mean')
    features = mean.backbone.features(batch.latents[:, :, :1], batch.latents, batch.prompt, tau)
    torch.testing.assert_close(features, sum(seen) / len(seen))


def test_features_after_several_denoising_steps_are_those_of_a_partly_denoised_clip(model, batch):
    condition, tau = batch.latents[:, :, :1], torch.full((4,), 0.9)
    with torch.no_grad():
        velocity = model.backbone.velocity(batch.latents, batch.prompt, tau)
    later = batch.latents - 0.3 * velocity
    steps = _with(model, feature_steps=3)
    with torch.no_grad():
        velocity = model.backbone.velocity(
            torch.cat([condition, later[:, :, 1:]], dim=2), batch.prompt, tau - 0.3
        )
    expected = model.backbone.features(condition, later - 0.3 * velocity, batch.prompt, tau - 0.6)
    features = steps.backbone.features(condition, batch.latents, batch.prompt, tau)
    torch.testing.assert_close(features, expected)
    features.sum().backward()
    assert 'backbone.transformer.patch_embed.proj.weight' in _reached(steps)


def _with(model, **changes):
    """The same weights with another video configuration."""
    config = replace(model.config, backbone=replace(model.config.backbone, **changes))
    other = DiT4DiT(config).eval()
    other.load_state_dict(model.state_dict())
    return other


def test_blocks_after_the_feature_layer_are_not_run_for_features(model, batch):
    ran = []
    blocks = model.backbone.transformer.transformer_blocks
    hooks = [b.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, b in enumerate(blocks)]
    model.backbone.features(batch.latents[:, :, :1], batch.latents, batch.prompt, torch.ones(4))
    for hook in hooks:
        hook.remove()
    assert ran == list(range(model.config.backbone.feature_layer + 1))


def test_shortcuts_of_the_video_dit_change_nothing(model, batch):
    """Against the class's own forward, which computes the modulation of every token."""
    from diffusers import CosmosTransformer3DModel
    from diffusers.models.transformers.transformer_cosmos import CosmosAdaLayerNormZero

    plain: Any = CosmosTransformer3DModel(**dict(model.backbone.transformer.config))
    assert any(type(m) is CosmosAdaLayerNormZero for m in plain.modules())
    plain.load_state_dict(model.backbone.transformer.state_dict())
    tau = torch.rand(4)
    times = tau[:, None].repeat(1, batch.latents.shape[2])
    times[:, 0] = model.config.backbone.condition_time
    mask = torch.zeros_like(batch.latents[:, :1])
    mask[:, :, 0] = 1
    with torch.no_grad():
        expected = plain(
            batch.latents,
            times[:, None, :, None, None],
            batch.prompt,
            condition_mask=mask,
            return_dict=False,
        )[0]
        got = model.backbone.velocity(batch.latents, batch.prompt, tau)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_one_frame_encodes_as_the_first_frame_of_a_clip_does():
    from dit4dit_policy.model.cosmos.layers import make_vae

    backbone: Any = preset('released').backbone
    vae = make_vae(replace(backbone.vae, base_dim=4, num_res_blocks=1)).eval()
    clip = torch.rand(1, 3, 5, 32, 32)
    with torch.no_grad():
        whole = vae.encode(clip).latent_dist.mean
        single = vae.encode(clip[:, :, :1]).latent_dist.mean
    torch.testing.assert_close(single, whole[:, :, :1], atol=1e-5, rtol=1e-5)


def test_every_instruction_gets_its_own_embedding(model):
    one, other, again = model.backbone.embed(['Pick it up.', 'Put it down.', 'Pick it up.'])
    assert torch.equal(one, again)
    assert (one - other).abs().max() > 0.1


def _reached(module):
    return {n for n, p in module.named_parameters() if p.grad is not None and p.grad.any()}


def test_action_loss_trains_the_action_dit_and_the_video_dit_up_to_the_feature_layer(model, batch):
    model.zero_grad()
    model.action_losses(batch)['action'].backward()
    video = _reached(model.backbone)
    assert any('transformer_blocks.1.' in n for n in video)  # the feature layer
    assert not any('transformer_blocks.2.' in n or 'proj_out' in n for n in video)
    assert not any(n.startswith(('vae', 'text_encoder')) for n in video)
    assert len(_reached(model.action)) == len(list(model.action.parameters()))


def test_action_loss_leaves_the_video_dit_alone_where_features_are_detached(batch):
    model = DiT4DiT(toy.tiny(feature_gradient=False))
    model.action_losses(batch)['action'].backward()
    assert not _reached(model.backbone)
    assert _reached(model.action)


def test_the_keyframe_is_told_from_features_and_shown_to_the_action_dit(batch):
    torch.manual_seed(0)
    model = DiT4DiT(toy.with_keyframe())
    losses = model.action_losses(batch)
    losses['keyframe'].backward(retain_graph=True)
    assert {n for n in _reached(model.action) if not n.startswith('keyframe_head.')} == set()
    assert any('transformer_blocks.1.' in n for n in _reached(model.backbone))
    model.zero_grad()
    losses['action'].backward()
    reached = _reached(model.action)
    assert any(n.startswith('keyframe_encoder.') for n in reached)
    assert not any(n.startswith('keyframe_head.') for n in reached)


def test_another_keyframe_another_chunk_and_masked_tokens_tell_nothing(batch):
    torch.manual_seed(0)
    config = toy.with_keyframe()
    action, tokens = DiT4DiT(config).action.eval(), config.backbone.tokens
    features, mask = torch.randn(4, tokens, 32), torch.ones(4, tokens, dtype=torch.bool)
    mask[:, 7:] = False
    spoilt = features.clone()
    spoilt[:, 7:] = 9.0
    told = action.keyframe(features, mask)
    assert torch.equal(told, action.keyframe(spoilt, mask))
    assert (told - action.keyframe(spoilt)).abs().max() > 1e-3
    shown = action.tokens(batch.state, told)
    assert shown.shape == (4, 1 + 1 + 2, 32)
    assert (shown[:, 1] - action.tokens(batch.state, told + 1)[:, 1]).abs().max() > 1e-3


def test_video_loss_trains_the_whole_video_dit_only(model, batch):
    model.zero_grad()
    model.backbone_loss(batch).backward()
    reached = _reached(model.backbone)
    assert any('transformer_blocks.2.' in n for n in reached)
    assert not any(n.startswith(('vae', 'text_encoder')) for n in reached)
    assert not _reached(model.action)


def test_what_is_predicted_for_masked_dimensions_does_not_matter(batch):
    model = DiT4DiT(toy.tiny())
    mask = batch.mask.clone()
    mask[:, :, 8:] = 0
    batch = replace(batch, mask=mask)

    def loss():
        g = torch.Generator().manual_seed(0)
        return model.action_losses(batch, 1, g)['action'].item()

    before = loss()
    with torch.no_grad():
        model.action.action_decoder.layer2.bias[8:] += 100
    assert loss() == before
    with torch.no_grad():
        model.action.action_decoder.layer2.bias[:8] += 100
    assert loss() > before + 1000


def test_same_seed_same_loss_and_same_actions(model, batch):
    def run(seed):
        g = torch.Generator().manual_seed(seed)
        action = model.action_losses(batch, 2, g)['action']
        return action.item(), model.backbone_loss(batch, g).item()

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_overfits_one_batch():
    """The joint loss starts at the variance of noise and targets."""
    config = toy.tiny()
    config = replace(config, action=replace(config.action, width=128, hidden_dim=128, heads=4))
    torch.manual_seed(0)
    model, g = DiT4DiT(config), torch.Generator().manual_seed(0)
    batch = toy.batch(config, 2)
    batch = replace(batch, actions=batch.actions[:, :1].expand_as(batch.actions))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(100):
        loss = model.action_losses(batch, 8, g)['action'] + 0.1 * model.backbone_loss(batch, g)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1
    assert sum(losses[-10:]) / 10 < 0.6 * losses[0]


def test_imagined_video_keeps_the_condition_frame(model, batch):
    condition = batch.latents[:, :, :1]
    video = model.backbone.imagine(condition, batch.prompt, torch.randn_like(batch.latents), 2)
    assert torch.equal(video[:, :, :1], condition)
    assert video.isfinite().all()
