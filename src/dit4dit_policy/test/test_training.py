import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_models as toy
import yaml
from safetensors.torch import load_file

from dit4dit_policy import cli
from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.inference.processor import Processor
from dit4dit_policy.model import presets
from dit4dit_policy.model.cosmos.backbone import CosmosBackbone
from dit4dit_policy.training import loop
from dit4dit_policy.training import train as training
from dit4dit_policy.training.augmentation import augmented_anew
from dit4dit_policy.training.clips import CachedClips, FreshClips
from dit4dit_policy.training.config import TrainConfig
from dit4dit_policy.training.demonstrations import CONTROL_KEY, Demonstrations
from dit4dit_policy.training.examples import Examples
from dit4dit_policy.training.held_out import Split
from dit4dit_policy.training.latent_cache import LatentCache, augmented
from dit4dit_policy.training.train import train
from g1_data import DatasetWriter, Extra, Schema

_ROOT = Path(__file__).parents[3]


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    return toy.record(tmp_path_factory.mktemp('data') / 'touch', episodes=4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return LatentCache.default()


@pytest.fixture
def settings(recorded, tmp_path, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, 'tiny', toy.tiny())
    return TrainConfig(
        preset='tiny', embodiment=str(toy.embodiment_file(tmp_path / 'toy.yaml')),
        datasets={str(recorded): 1.0}, output=str(tmp_path / 'run'),
        tasks={'touch': toy.INSTRUCTION}, val_fraction=0.25, autoencoder_steps=3,
        autoencoder_batch_size=2, variants=2, steps=4, batch_size=4, video_batch_size=2,
        warmup_steps=2, evaluate_every=2, threads=1, bf16=False,
    )  # fmt: skip


def _silently(items, _what, _count):
    return items


def _examples(config, mixture, cache, video=None, robot=None):
    """Examples with made-up latents, or with those of `video`; and their demonstrations."""
    data = Demonstrations.read(mixture, robot or toy.embodiment())
    processor = data.processor(config, {})
    if video:
        latents = cache.latents(video, data, 1, _silently)
    else:
        rows = torch.arange(len(data.state)).float().view(-1, 1, 1, 1, 1).expand(-1, 16, 1, 4, 6)
        latents = [[rows[data.dataset == i]] for i in range(len(mixture))]
    prompts = torch.zeros(len(data.instructions), 64, 128)
    clips = CachedClips.of(latents, data, config.backbone.clip_offsets)
    return Examples.make(config, data, processor, clips, prompts), data, processor


def test_a_run_ends_in_a_checkpoint_that_infers(settings, tmp_path):
    folder = train(settings)
    policy = DiT4DiTPolicy.load(folder, toy.embodiment())
    assert policy.trained
    assert policy.training['steps'] == 4
    assert policy.training['episodes'] == 4
    assert policy.tasks == {'touch': toy.INSTRUCTION}
    lines = (tmp_path / 'run/metrics.jsonl').read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r['step'] for r in records] == [2, 4]
    assert {'action', 'video', 'error', 'error_state_only'} <= set(records[0])
    for picture in ('loss.png', 'chunks.png'):
        assert (tmp_path / 'run' / picture).stat().st_size > 1000


def test_a_killed_run_goes_on_as_if_nothing_had_happened(settings, tmp_path):
    unbroken = train(settings)
    expected = (unbroken / 'model.safetensors').read_bytes()
    again = replace(settings, output=str(tmp_path / 'again'))
    (tmp_path / 'again').mkdir()  # the autoencoder is not what is compared
    shutil.copy(tmp_path / 'run/autoencoder.pt', tmp_path / 'again')
    process = multiprocessing.get_context('spawn').Process(
        target=_train_until_killed, args=(again,), daemon=True
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert [p.name for p in (tmp_path / 'again').glob('state-*')] == ['state-0000002']
    assert (train(again) / 'model.safetensors').read_bytes() == expected
    kept, new = (
        [{**r, 'seconds': 0} for r in map(json.loads, path.read_text().splitlines())]
        for path in (tmp_path / 'run/metrics.jsonl', tmp_path / 'again/metrics.jsonl')
    )
    assert kept == new


def _train_until_killed(settings):
    """Dies in the third step, without a chance to clean up."""
    presets.PRESETS['tiny'] = toy.tiny()
    advance = loop.Run.advance

    def advance_or_die(run):
        if run.step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return advance(run)

    loop.Run.advance = advance_or_die  # type: ignore[method-assign]
    train(settings)


def test_a_run_can_start_from_a_checkpoint(settings, tmp_path):
    first = train(settings)
    second = train(replace(settings, init_from=str(first), output=str(tmp_path / 'second')))
    assert DiT4DiTPolicy.load(second).model.config == DiT4DiTPolicy.load(first).model.config
    assert DiT4DiTPolicy.load(second).training['before']['steps'] == 4


def test_bounds_of_the_checkpoint_are_kept_unless_asked_for_new_ones(
    settings, recorded, tmp_path, capsys
):
    first = train(replace(settings, steps=1))
    other = toy.record(tmp_path / 'other', 8, seed=5)
    again = replace(settings, steps=1, datasets={str(other): 1.0}, init_from=str(first))
    kept = train(replace(again, output=str(tmp_path / 'kept')))
    anew = train(replace(again, output=str(tmp_path / 'anew'), recompute_bounds=True))
    bounds = [Processor.load(f / 'processor.json').action_upper for f in (first, kept, anew)]
    assert bounds[1] == bounds[0]
    assert bounds[2] != bounds[0]
    assert bounds[2] == Demonstrations.read({str(other): 1.0}, toy.embodiment()).processor(
        toy.tiny(), {}
    ).action_upper  # fmt: skip
    assert 'beyond the bounds of the checkpoint, cut there: ' in capsys.readouterr().err


def test_a_dataset_names_its_task_where_the_settings_do_not(settings, recorded, tmp_path):
    other = toy.record(tmp_path / 'touch', 4, seed=1, instruction='Touch it again, slowly!')
    data = Demonstrations.read({str(recorded): 1.0, str(other): 1.0}, toy.embodiment())
    assert data.tasks({}) == {
        'touch': toy.INSTRUCTION,
        'touch_it_again_slowly': 'Touch it again, slowly!',
    }
    assert data.tasks({'tap': toy.INSTRUCTION, 'rest': 'Rest.'}) == {'tap': toy.INSTRUCTION}


def test_several_cameras_are_trained_on_side_by_side(settings, tmp_path):
    robot = toy.embodiment(cameras=('head', 'wrist'))
    both = toy.record(tmp_path / 'both', 4, cameras=('head', 'wrist'))
    file = toy.embodiment_file(tmp_path / 'both.yaml', cameras=('head', 'wrist'))
    settings = replace(settings, embodiment=str(file), datasets={str(both): 1.0}, steps=1)
    policy = DiT4DiTPolicy.load(train(replace(settings, cameras=('wrist', 'head'))), robot)
    assert policy.cameras == ('wrist', 'head')
    assert policy.model.config.backbone.frame == (32, 96)
    images = {'head': toy.scene(np.zeros(2), 0.5), 'wrist': toy.scene(np.ones(2), 0.1)}
    observation = Observation(images, np.zeros(16), toy.INSTRUCTION)
    chunk = policy.infer(observation)
    swapped = Observation(
        {'head': images['wrist'], 'wrist': images['head']}, np.zeros(16), toy.INSTRUCTION
    )
    assert not np.array_equal(policy.infer(swapped), chunk)
    with pytest.raises(ValueError, match='expected those of wrist, head, got head; missing: wrist'):
        policy.infer(Observation({'head': images['head']}, np.zeros(16), toy.INSTRUCTION))
    settings = replace(settings, output=str(tmp_path / 'deaf'), cameras=('ear',))
    with pytest.raises(ValueError, match='toy has head, wrist; expected some of them'):
        train(settings)


def test_the_second_stage_begins_anew_only_what_other_dimensions_ask_for(
    settings, tmp_path, monkeypatch, capsys
):
    first = train(settings)
    tiny = toy.tiny()
    wider = replace(tiny, action=replace(tiny.action, state_dim=20, action_dim=18))
    monkeypatch.setitem(presets.PRESETS, 'wider', wider)
    other = replace(
        settings, preset='wider', init_from=str(first), steps=2, video_lr=0.0, action_lr=0.0,
        output=str(tmp_path / 'second'),
    )  # fmt: skip
    second = train(other)
    new = {
        'action.action_decoder.layer2.bias', 'action.action_decoder.layer2.weight',
        'action.action_encoder.layer1.weight', 'action.state_encoder.layer1.weight',
    }  # fmt: skip
    before, after = (load_file(folder / 'model.safetensors') for folder in (first, second))
    assert {name for name in after if after[name].shape != before[name].shape} == new
    assert all(torch.equal(after[name], before[name]) for name in after.keys() - new)
    assert f'begun anew: {", ".join(sorted(new))}' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('mode', 'gradient', 'trained'),
    [
        ('joint', True, {'action', 'backbone.transformer'}),
        ('video', True, {'backbone.transformer'}),
        ('action', True, {'action', 'backbone.transformer'}),
        ('action', False, {'action'}),
    ],
)
def test_modes_train_what_they_should_and_only_that(settings, mode, gradient, trained):
    settings = replace(settings, steps=1, warmup_steps=1, weight_decay=0.0, ema_decay=0.0)
    first = train(replace(settings, action_lr=0.0, video_lr=0.0))
    other = replace(
        settings, output=settings.output + mode, init_from=str(first), mode=mode,
        feature_gradient=gradient,
    )  # fmt: skip
    before, after = (load_file(f / 'model.safetensors') for f in (first, train(other)))
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert {n.rsplit('.', n.count('.') - ('backbone' in n))[0] for n in changed} == trained
    if mode == 'action' and gradient:  # blocks after the feature layer have no part in the features
        assert not any('transformer_blocks.2' in name for name in changed if 'backbone' in name)


def test_gradient_checkpointing_changes_nothing(settings, tmp_path):
    plain = train(settings)
    saving = replace(settings, gradient_checkpointing=True, output=str(tmp_path / 'saving'))
    (tmp_path / 'saving').mkdir()
    shutil.copy(tmp_path / 'run/autoencoder.pt', tmp_path / 'saving')
    a, b = (load_file(folder / 'model.safetensors') for folder in (plain, train(saving)))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-2, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    'how', ['--multi_gpu', f'--config_file={_ROOT}/config/accelerate_fsdp.yaml']
)
def test_two_processes_train_one_model(settings, tmp_path, how):
    # Without GPUs accelerate shares the work by DDP, whatever the file says.
    settings = replace(
        settings, preset='nano', steps=2, batch_size=2, video_batch_size=2, variants=1
    )
    config = tmp_path / 'train.yaml'
    config.write_text(yaml.safe_dump(asdict(settings)))
    command = [
        sys.executable, '-m', 'accelerate.commands.launch', how, '--num_processes=2',
        '--num_machines=1', '--mixed_precision=no', '--num_cpu_threads_per_process=1',
        '--main_process_port=0', shutil.which('dit4dit'), 'train', '--config', str(config),
    ]  # fmt: skip
    environment = os.environ | {'ACCELERATE_USE_CPU': 'true', 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert '2 processes share each batch' in done.stderr
    assert DiT4DiTPolicy.load(tmp_path / 'run/checkpoint').training['steps'] == 2
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert 'going on from step 2' in again.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_processes_of_one_machine_share_the_batch(settings, tmp_path):
    settings = replace(settings, preset='nano', processes=2, variants=1, steps=2)
    config = tmp_path / 'train.yaml'
    config.write_text(yaml.safe_dump(asdict(settings) | {'cameras': []}))
    command = [shutil.which('dit4dit'), 'train', '--config', str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    assert '2 processes share each batch' in done.stderr
    assert DiT4DiTPolicy.load(tmp_path / 'run/checkpoint').training['steps'] == 2


def test_chunks_and_clips_end_with_their_episode(recorded, cache):
    examples, data, processor = _examples(toy.tiny(), {str(recorded): 1.0}, cache)
    rows = torch.tensor([0, 20, 30])
    batch = examples.batch(rows)
    assert batch.latents[:, 0, :, 0, 0].tolist() == [[0, 8], [20, 23], [30, 38]]
    targets = processor.decode_action(batch.actions)
    np.testing.assert_allclose(targets[0], data.action[:16], atol=1e-6)
    np.testing.assert_allclose(targets[1][3:], data.action[[23] * 13], atol=1e-6)
    assert batch.mask.all()


def test_joints_that_a_dataset_has_not_do_not_count(recorded, tmp_path, cache):
    names = ('thumb', *toy.JOINTS[:15])
    other = toy.record(tmp_path / 'other', 2, seed=1, joints=names)
    tiny = toy.tiny()
    config = replace(tiny, action=replace(tiny.action, state_dim=18, action_dim=18))
    examples, data, processor = _examples(
        config,
        {str(recorded): 1.0, str(other): 3.0},
        cache,
        robot=toy.embodiment((*toy.JOINTS, 'thumb')),
    )
    rows = torch.tensor([0, 96 + 20])
    batch = examples.batch(rows)
    assert batch.mask[0, 3].tolist() == [1.0] * 16 + [0.0] * 2
    assert batch.mask[1, 3].tolist() == [1.0] * 15 + [0.0, 1.0, 0.0]
    assert batch.state[1, 0, [15, 17]].abs().max() < 1e-6
    place = processor.decode_action(batch.actions)[1, -1]  # of joint 0, which the thumb is here
    np.testing.assert_allclose(place[[16, 0]], data.action[119, [16, 0]], atol=1e-6)
    assert batch.latents[1, 0, 0, 0, 0] == 116


def test_weights_say_how_often_a_dataset_is_drawn(settings, recorded, tmp_path, monkeypatch):
    other = toy.record(tmp_path / 'other', 4, seed=1)
    drawn = []
    batch = Examples.batch

    def noted(self, rows, **how):
        drawn.append(rows)
        return batch(self, rows, **how)

    monkeypatch.setattr(Examples, 'batch', noted)
    train(
        replace(settings, datasets={str(recorded): 1.0, str(other): 4.0}, batch_size=200, steps=1)
    )
    rows = drawn[0]
    assert 20 <= (rows < 96).sum() <= 60


def test_frames_are_encoded_once_and_again_when_the_autoencoder_is_another(
    recorded, cache, monkeypatch
):
    config: Any = toy.tiny()
    first, second = CosmosBackbone(config.backbone).eval(), CosmosBackbone(config.backbone).eval()
    a, _, _ = _examples(config, {str(recorded): 1.0}, cache, first)
    files = set(cache.folder.iterdir())
    monkeypatch.setattr(CosmosBackbone, 'encode', None)
    b, _, _ = _examples(config, {str(recorded): 1.0}, cache, first)
    assert torch.equal(a.clips.latents[0][0], b.clips.latents[0][0])
    monkeypatch.undo()
    monkeypatch.setenv('XDG_CACHE_HOME', str(cache.folder.parent.parent))
    _examples(config, {str(recorded): 1.0}, cache, second)
    assert len(set(cache.folder.iterdir())) == len(files) + 1


def test_clips_of_a_vae_that_compresses_time_are_encoded_whole(recorded, cache):
    tiny: Any = toy.tiny()
    vae = replace(tiny.backbone.vae, dim_mult=(1, 2, 2), temperal_downsample=(True, True))
    small = replace(tiny.backbone, vae=vae, frame_step=1, image=(32, 64))
    config: Any = replace(tiny, backbone=small)
    video = CosmosBackbone(config.backbone).eval()
    examples, data, _ = _examples(config, {str(recorded): 1.0}, cache, video)
    frames = next(data.videos(0, config.backbone.image))
    clip = torch.from_numpy(frames[[20, 21, 22, 23, 23]]).permute(3, 0, 1, 2).float()[None] / 255
    got = examples.batch(torch.tensor([20])).latents
    torch.testing.assert_close(got, video.encode(clip), rtol=0.05, atol=0.05)


def test_augmentation_changes_the_light_of_a_whole_episode_alike(recorded):
    frames = next(Demonstrations.read({str(recorded): 1.0}, toy.embodiment()).videos(0, (32, 48)))
    plain, lit, other = augmented(frames, 0, 0), augmented(frames, 0, 1), augmented(frames, 1, 1)
    assert torch.equal(lit, augmented(frames, 0, 1))
    corner = (lit / plain)[:, :, 3, 3]
    torch.testing.assert_close(corner, corner[:1].expand(24, -1))
    assert (lit - other).abs().max() > 0.01


def test_every_example_is_augmented_in_its_own_way_and_its_frames_alike(recorded):
    data = Demonstrations.read({str(recorded): 1.0}, toy.embodiment())
    frames = torch.from_numpy(next(data.videos(0, (32, 48)))[[0, 0]])
    clips = frames.permute(0, 3, 1, 2).float().expand(8, -1, -1, -1, -1) / 255
    torch.manual_seed(0)
    seen = augmented_anew(clips)
    assert seen.min() >= 0 and seen.max() <= 1
    assert (seen[:, 0] - seen[:, 1]).abs().mean() < 0.02  # but for noise
    assert min((seen[0, 0] - other[0]).abs().mean() for other in seen[1:]) > 0.01
    assert (seen - clips).abs().mean() < 0.25


def test_fresh_clips_are_as_the_robot_sees_them_unless_augmented(recorded):
    config = toy.tiny()
    data = Demonstrations.read({str(recorded): 1.0}, toy.embodiment())
    backbone = CosmosBackbone(config.backbone).eval()
    pictures = np.concatenate(list(data.videos(0, config.backbone.image)))
    clips, rows = FreshClips(backbone, pictures, data.last), torch.tensor([0, 20])
    plain = clips.encoded(rows, augmented=False)
    shown = torch.from_numpy(pictures[[20, 23]]).permute(3, 0, 1, 2).float()[None] / 255
    torch.testing.assert_close(plain[1:], backbone.encode(shown), rtol=1e-3, atol=1e-4)
    some = clips.encoded(rows, augmented=False, whole=1)
    torch.testing.assert_close(some[0], plain[0])
    torch.testing.assert_close(some[1, :, :1], plain[1, :, :1])
    a, b = (clips.encoded(rows, augmented=True) for _ in range(2))
    assert (a - b).abs().max() > 0.01 and (a - plain).abs().max() > 0.01


def test_a_run_that_augments_every_example_ends_in_a_checkpoint(settings):
    folder = train(replace(settings, augment='example', steps=2))
    assert DiT4DiTPolicy.load(folder, toy.embodiment()).trained


def test_only_what_the_expert_did_is_learnt_of_corrections(tmp_path):
    schema = Schema.of(
        toy.embodiment(), {'head': toy.SIZE}, extras={CONTROL_KEY: Extra(('expert',), 'uint8')}
    )
    writer = DatasetWriter.create(tmp_path / 'corrections', schema)
    for _ in range(4):
        with writer.episode(toy.INSTRUCTION) as episode:
            for k, row in enumerate(zip(*toy.demonstration(np.ones(2)), strict=True)):
                image = {'head': toy.scene(np.ones(2), 0.5)}
                episode.add(*row, image, {CONTROL_KEY: np.array([k >= 10])})
    data = Demonstrations.read({str(tmp_path / 'corrections'): 1.0}, toy.embodiment())
    split = Split.of(data, 0.25)
    rows = split.draw(torch.zeros(500, dtype=torch.long))
    assert set(rows.tolist()) == {24 * e + k for e in range(3) for k in range(10, 24)}
    assert set(split.held_out.tolist()) == {72 + k for k in range(10, 24)}


def test_datasets_that_do_not_fit_are_refused(recorded):
    with pytest.raises(ValueError, match='10 frames per second do not divide into steps of'):
        Demonstrations.read({str(recorded): 1.0}, replace(toy.embodiment(), rate=7.0))
    with pytest.raises(ValueError, match='weights above 0'):
        Demonstrations.read({str(recorded): 0.0}, toy.embodiment())
    with pytest.raises(ValueError, match='state has joint_15, which the embodiment has not; name'):
        Demonstrations.read({str(recorded): 1.0}, toy.embodiment(toy.JOINTS[:15]))


def test_worlds_of_evaluation_are_trained_on_only_where_that_is_meant(recorded, tmp_path):
    root = shutil.copytree(recorded, tmp_path / 'marked')
    info = root / 'meta' / 'info.json'
    info.write_text(json.dumps(json.loads(info.read_text()) | {'variant': 'number'}))
    with pytest.raises(ValueError, match=r'shows the variant number.* evaluation_worlds: true'):
        Demonstrations.read({str(root): 1.0}, toy.embodiment())
    assert Demonstrations.read({str(root): 1.0}, toy.embodiment(), evaluation_worlds=True).episodes


def test_command_line(settings, tmp_path, capsys):
    folder = train(settings)
    assert cli.main(['info', str(folder)]) == 0
    assert 'parameters' in capsys.readouterr().out
    assert cli.main(['info', str(tmp_path / 'nowhere')]) == 2
    assert 'no config.json in' in capsys.readouterr().err
    wrong = tmp_path / 'wrong.yaml'
    wrong.write_text('preset: nano\nstepz: 3\n')
    assert cli.main(['train', '--config', str(wrong)]) == 2
    assert "unknown ['stepz']" in capsys.readouterr().err


def test_datasets_and_cameras_are_named_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(_ROOT)
    given = []

    def train_nothing(config):
        given.append(config)
        return tmp_path

    monkeypatch.setattr(training, 'train', train_nothing)
    words = ['train', '--config', str(_ROOT / 'config/train_teleop.yaml')]
    assert cli.main([*words, '--data', 'monday', 'tuesday', '--output', 'both']) == 0
    assert cli.main(words) == 0
    named, plain = given
    assert named.datasets == {'monday': 1.0, 'tuesday': 1.0} and named.output == 'both'
    assert plain == replace(named, datasets={'runs/teleop': 1}, output='runs/train_teleop')
    assert 'pick_and_place' in plain.task_table()
    assert cli.main([*words, '--cameras', 'head,left_wrist']) == 0
    assert given[-1].cameras == ('head', 'left_wrist')
