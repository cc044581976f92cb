import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dit4dit_policy import cli
from dit4dit_policy.inference.policy import Policy
from dit4dit_policy.model import config as model_config
from dit4dit_policy.training import train as training
from dit4dit_policy.training.dataset import Demonstrations, Examples, augmented, encode
from dit4dit_policy.training.train import TrainConfig, train

_spec = importlib.util.spec_from_file_location('toy', Path(__file__).with_name('toy.py'))
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    return toy.record(tmp_path_factory.mktemp('data') / 'touch', episodes=4)


@pytest.fixture
def settings(recorded, tmp_path, monkeypatch):
    monkeypatch.setitem(model_config._PRESETS, 'tiny', toy.tiny())
    return TrainConfig(
        preset='tiny', datasets=[str(recorded)], output=str(tmp_path / 'run'),
        tasks={'touch': toy.INSTRUCTION}, held_out=0.25, autoencoder_steps=3, autoencoder_batch=2,
        variants=2, steps=4, batch=4, video_batch=2, warm_up=2, evaluate_every=2, threads=1,
    )  # fmt: skip


def _read(recorded, image=(32, 48)):
    return Demonstrations.read([recorded], image, 0.1, lambda items, _what, _count: items)


def test_a_run_ends_in_a_checkpoint_that_infers(settings, tmp_path):
    folder = train(settings)
    policy = Policy.load(folder, toy.JOINTS)
    assert policy.trained
    assert policy.training['steps'] == 4
    assert policy.training['episodes'] == 4
    assert policy.tasks == {'touch': toy.INSTRUCTION}
    lines = (tmp_path / 'run/metrics.jsonl').read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r['step'] for r in records] == [2, 4]
    assert {'action', 'video', 'error', 'error_state_only'} <= set(records[0])
    assert (tmp_path / 'run/loss.png').stat().st_size > 1000


def test_a_killed_run_goes_on_as_if_nothing_had_happened(settings, tmp_path):
    unbroken = train(settings)
    expected = (unbroken / 'model.safetensors').read_bytes()

    class Killed(BaseException):
        pass

    again = replace(settings, output=str(tmp_path / 'again'))
    save = training.Run.save

    def save_and_die(run, output):
        save(run, output)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Run, 'save', save_and_die)
        with pytest.raises(Killed):
            train(again)
    assert (train(again) / 'model.safetensors').read_bytes() == expected


def test_a_run_can_start_from_a_checkpoint(settings, tmp_path):
    first = train(settings)
    second = train(replace(settings, init_from=str(first), output=str(tmp_path / 'second')))
    assert Policy.load(second).model.config == Policy.load(first).model.config
    assert Policy.load(second).training['before']['steps'] == 4


def test_chunks_and_clips_end_with_their_episode(recorded):
    config = toy.tiny()
    data = _read(recorded)
    assert data.frames.shape == (4 * 24, 32, 48, 3)
    latents = torch.arange(4 * 24).float().view(1, -1, 1, 1, 1).expand(1, -1, 16, 4, 6)
    processor = data.processor(config, 0.1, {})
    examples = Examples.make(config, data, processor, latents, torch.zeros(1, 64, 128))
    rows = torch.tensor([0, 20, 30])
    batch = examples.batch(rows, torch.zeros_like(rows))
    assert batch.latents[:, 0, :, 0, 0].tolist() == [[0, 8], [20, 23], [30, 38]]
    targets = processor.decode_action(batch.actions)
    np.testing.assert_allclose(targets[0], data.action[:16], atol=1e-6)
    np.testing.assert_allclose(targets[1][3:], data.action[[23] * 13], atol=1e-6)


def test_augmentation_changes_the_light_of_a_whole_episode_alike(recorded):
    data = _read(recorded)
    plain = augmented(data.frames, data.episode, 0)
    lit = augmented(data.frames, data.episode, 1)
    assert torch.equal(lit, augmented(data.frames, data.episode, 1))
    corner = (lit / plain)[:, :, 3, 3]
    torch.testing.assert_close(corner[:24], corner[:1].expand(24, -1))
    assert (corner[0] - corner[24]).abs().max() > 0.01


def test_latents_of_a_clip_need_a_vae_that_keeps_time(recorded):
    class Released:
        config = model_config.preset('released').video

    with pytest.raises(ValueError, match='compresses it 4x'):
        encode(Released(), _read(recorded), 1, lambda items, _what, _count: items)


def test_datasets_of_other_joints_or_rates_are_refused(recorded, tmp_path):
    other = toy.record(tmp_path / 'other', 1, joints=tuple(reversed(toy.JOINTS)))
    with pytest.raises(ValueError, match='datasets trained on together need the same'):
        Demonstrations.read([recorded, other], (32, 48), 0.1, lambda i, _w, _c: i)
    with pytest.raises(ValueError, match=r'10 frames per second do not divide into steps of 0\.15'):
        Demonstrations.read([recorded], (32, 48), 0.15, lambda i, _w, _c: i)


def test_command_line(settings, tmp_path, capsys):
    folder = train(settings)
    assert cli.main(['info', str(folder)]) == 0
    assert 'parameters' in capsys.readouterr().out
    assert cli.main(['info', str(tmp_path / 'nowhere')]) == 2
    assert 'no processor.json in' in capsys.readouterr().err
    wrong = tmp_path / 'wrong.yaml'
    wrong.write_text('preset: nano\nstepz: 3\n')
    assert cli.main(['train', '--config', str(wrong)]) == 2
    assert "unknown ['stepz']" in capsys.readouterr().err
