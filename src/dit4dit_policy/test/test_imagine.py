"""`dit4dit imagine` shows what a model expects to see."""

import math
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from toy_models import INSTRUCTION, batch, processor, record, scene, tiny

from dit4dit_policy.cli import main
from dit4dit_policy.evaluation.imagination import Moment, likeness, standing_still
from dit4dit_policy.evaluation.imagine import imagine
from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.pictures import resize
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.dit4dit import DiT4DiT
from g1_data.video import VideoEncoder


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('checkpoint')
    torch.manual_seed(0)
    checkpoint.save(DiT4DiT(tiny()), folder, {'trained': True, 'steps': 3})
    processor(tiny()).save(folder / 'processor.json')
    return folder


def picture(step: int) -> np.ndarray:
    return scene(np.array([0.2, 0.5]), step / 20)


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]


def test_an_image_gives_a_video_of_what_follows(folder, tmp_path, capsys):
    Image.fromarray(picture(0)).save(tmp_path / 'now.png')
    out = tmp_path / 'made' / 'future.mp4'
    arguments = ['--image', str(tmp_path / 'now.png'), '--task', INSTRUCTION, '--steps', '2']
    arguments += ['--clips', '2', '--checkpoint', str(folder), '--out', str(out)]
    assert main(['imagine', *arguments]) == 0
    assert '1.6 s ahead' in capsys.readouterr().out
    video = frames(out)
    assert len(video) == 10 + 8 + 10  # now and the last for a second each, in real time between
    now, future = video[0][100:, 100:].astype(int), video[-1][100:, 100:].astype(int)
    assert np.abs(now - future).mean() > 5


def test_a_clip_is_shown_beside_until_it_ends(folder, tmp_path):
    encoder = VideoEncoder(tmp_path / 'clip.mp4', 10, (96, 128))
    for step in range(20):
        encoder.add(picture(step))
    encoder.finish()
    out = tmp_path / 'future.mp4'
    arguments = ['--clip', str(tmp_path / 'clip.mp4'), '--at', '0.5', '--task', INSTRUCTION]
    arguments += ['--steps', '1', '--clips', '2', '--checkpoint', str(folder), '--out', str(out)]
    assert main(['imagine', *arguments]) == 0
    video = frames(out)
    panel = video[0].shape[1] // 2
    now, real, ended = (video[index][100:, panel:].astype(int) for index in (0, 12, -1))
    for shown, step in ((now, 5), (real, 13)):
        expected = Image.fromarray(picture(step)).resize((480, 360), Image.Resampling.BICUBIC)
        assert np.abs(shown - np.array(expected, int)[52:]).mean() < 5
    assert ended.max() < 60


def test_it_begins_with_the_image_and_repeats_itself_with_the_seed(folder):
    policy = DiT4DiTPolicy.load(folder)
    first, again, other = (
        imagine(policy, picture(3), INSTRUCTION, steps=2, seed=seed) for seed in (0, 0, 1)
    )
    assert first.times == pytest.approx((0.0, 0.8))
    assert (first.frames[0] == resize(picture(3), (32, 48))).all()
    assert (first.frames[1] == again.frames[1]).all()
    assert (first.frames[1] != other.frames[1]).any()


def test_one_call_samples_actions_video_or_both():
    torch.manual_seed(0)
    config = tiny()
    model, given = DiT4DiT(config).eval(), batch(config, size=2)
    condition, noise = given.latents[:, :, :1], torch.randn_like(given.latents)
    action = given.state, torch.randn_like(given.actions)
    both = model.sample(condition, given.prompt, noise, action=action, video_steps=3)
    actions = model.sample(condition, given.prompt, noise, action=action)
    video = model.sample(condition, given.prompt, noise, video_steps=3)
    assert both.actions.shape == given.actions.shape and both.latents.shape == noise.shape
    assert torch.equal(both.actions, actions.actions) and actions.latents is None
    assert torch.equal(both.latents, video.latents) and video.actions is None
    assert torch.equal(both.latents[:, :, :1], condition)


def test_where_nothing_changes_the_picture_is_as_sharp_as_it_was():
    torch.manual_seed(0)
    video = DiT4DiT(tiny()).eval().backbone
    now = torch.rand(1, 3, 32, 48)
    latents = video.encode(now[:, :, None]).expand(-1, -1, 2, -1, -1).clone()
    still = video.decode_after(now, latents)
    assert torch.allclose(still[:, :, 1], now, atol=1e-5)
    latents[:, :, 1] += 3 * torch.randn_like(latents[:, :, 1])
    plain, moved = video.decode(latents)[:, :, 1], video.decode_after(now, latents)[:, :, 1]
    change = (plain - video.decode(latents)[:, :, 0]).abs().amax(1, keepdim=True)
    changed = (change > 0.2).expand_as(plain)
    assert changed.any() and torch.equal(moved[changed], plain[changed].clamp(0, 1))


def test_noise_that_imagination_begins_from_is_as_the_checkpoint_says(folder):
    policy = DiT4DiTPolicy.load(folder)
    policy.processor = replace(policy.processor, imagined_noise_std=0.0)
    one, other = (imagine(policy, picture(3), INSTRUCTION, steps=2, seed=seed) for seed in (0, 1))
    assert (one.frames[1] == other.frames[1]).all()


def test_it_is_measured_against_the_real_future(folder, tmp_path, capsys):
    data = record(tmp_path / 'data', episodes=2)
    words = ['imagine', '--checkpoint', str(folder), '--measure', str(data), '--steps', '1']
    assert main([*words, '--examples', '5', '--out', str(tmp_path / 'seen.png')]) == 0
    shown = capsys.readouterr().out
    assert '5 moments' in shown and 'the present one' in shown
    assert Image.open(tmp_path / 'seen.png').size == (3 * 48, 18 + 5 * 32)


def test_likeness_to_the_real_picture():
    now, real = torch.full((3, 32, 48), 0.2), torch.full((3, 32, 48), 0.2)
    real[:, 8:16, 8:16] = 0.8
    seen = [Moment(now, (real,), INSTRUCTION)]
    still, right = likeness(seen, standing_still(seen)), likeness(seen, [(real,)])
    assert still.psnr == pytest.approx(-10 * math.log10(0.36 * 64 / (32 * 48)), abs=0.01)
    assert still.psnr_moving == pytest.approx(-10 * math.log10(0.36), abs=0.01)
    assert right.psnr == math.inf and right.ssim == right.ssim_moving == pytest.approx(1.0)
    assert still.ssim_moving < still.ssim < 1.0


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--image', '/nonexistent.png'], 'no file /nonexistent.png'),
        (['--clip', '/nonexistent.mp4'], 'no file /nonexistent.mp4'),
        (['--image', __file__], 'expected a picture'),
        (['--image', __file__, '--steps', '0'], 'at least 1 of --steps'),
    ],
)
def test_wrong_arguments_are_one_line(capsys, arguments, text):
    assert main(['imagine', '--task', INSTRUCTION, *arguments]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count('\n') == 1


def test_in_pieces_the_policy_imagines_the_same(folder):
    policy = DiT4DiTPolicy.load(folder)
    state = np.zeros(len(policy.embodiment.state_names))
    seen = Observation(dict.fromkeys(policy.cameras, picture(3)), state, INSTRUCTION)
    *pieces, future = policy.imagination(seen, 2)
    assert policy.imagines and pieces == [None] * 3  # the encoding and two steps
    whole = imagine(policy, picture(3), INSTRUCTION, steps=2, seed=policy.seed)
    assert future.ahead == whole.times[-1]
    assert np.abs(future.pixels.astype(int) - whole.frames[-1]).max() <= 1
