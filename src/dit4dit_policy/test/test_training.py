import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import toy_models as toy
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from dit4dit_policy import cli
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.inference.processor import Processor
from dit4dit_policy.model import presets
from dit4dit_policy.training import loop, start
from dit4dit_policy.training.config import TrainConfig
from dit4dit_policy.training.demonstrations import Demonstrations
from dit4dit_policy.training.examples import Examples
from dit4dit_policy.training.latent_cache import LatentCache
from dit4dit_policy.training.train import train

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
    (tmp_path / 'again').mkdir()  # neither autoencoder nor the choice of products are compared
    for name in ('autoencoder.pt', 'linear_layers.txt'):
        shutil.copy(tmp_path / 'run' / name, tmp_path / 'again')
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


def test_a_finished_run_says_so_and_takes_nothing_else(settings, tmp_path, capsys):
    folder = train(settings)
    weights = (folder / 'model.safetensors').read_bytes()
    assert train(replace(settings, threads=2, evaluate_every=4)) == folder
    assert f'already finished: {settings.output}, 4 steps' in capsys.readouterr().err
    with pytest.raises(
        ValueError, match=r'after 4 steps: steps was 4, is 8; action_lr was 0\.001, is'
    ):
        train(replace(settings, action_lr=0.5, steps=8))
    other = toy.record(tmp_path / 'other', episodes=5, seed=1)
    with pytest.raises(ValueError, match=r'datasets was .*/touch.*, is .*/other.* Choose another'):
        train(replace(settings, datasets={str(other): 1.0}))
    changed = replace(settings, output=str(tmp_path / 'changed'), steps=1)
    shutil.copytree(next(iter(settings.datasets)), tmp_path / 'more')
    train(replace(changed, datasets={str(tmp_path / 'more'): 1.0}))
    shutil.rmtree(tmp_path / 'more')
    toy.record(tmp_path / 'more', episodes=5)
    with pytest.raises(ValueError, match=r'datasets had 4 episodes and .*, have 5 episodes and'):
        train(replace(changed, datasets={str(tmp_path / 'more'): 1.0}))
    assert (folder / 'model.safetensors').read_bytes() == weights


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({'val_fraction': 0.05}, '4 episodes are too few to hold out one in 20; expected at least'),
        ({'policy_weight': -1.0}, 'policy_weight: expected 0 or more, got -1.0'),
        ({'datasets': {'nowhere': 1.0}}, 'nowhere'),
        ({'init_from': 'nobody'}, 'nobody'),
        ({'tasks': 'no.yaml'}, 'no.yaml'),
        ({'crops': {'wrist': (0, 0, 8, 8)}}, r"crops: expected of head, got \['wrist'\]"),
        ({'crops': {'head': (0, 0, 99, 8)}}, r'crop of camera head: .* within .*, got \(0, 0, 99'),
    ],
)
def test_a_start_that_fails_leaves_no_folder(settings, tmp_path, monkeypatch, change, said):
    monkeypatch.setattr(start, 'train_autoencoder', lambda *_: pytest.fail('trained for nothing'))
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        train(replace(settings, **change))
    assert not (tmp_path / 'run').exists()


def _last(run: Path, name: str) -> float:
    value = json.loads((run / 'metrics.jsonl').read_text().splitlines()[-1])[name]
    assert isinstance(value, float)
    return value


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
    first = train(replace(settings, action_shift=1, initial_noise_std=0.3, follow=2))
    again = replace(settings, init_from=str(first), follow=3, output=str(tmp_path / 'second'))
    second = train(again)
    assert DiT4DiTPolicy.load(second).model.config == DiT4DiTPolicy.load(first).model.config
    assert DiT4DiTPolicy.load(second).training['before']['steps'] == 4
    used = Processor.load(second / 'processor.json')  # as the first where nothing else is said
    assert (used.action_shift, used.initial_noise_std, used.follow) == (1, 0.3, 3)


def test_a_checkpoint_goes_on_seeing_what_it_was_shown_of_a_picture(settings, tmp_path):
    first = train(replace(settings, steps=1, crops={'head': (8, 12, 20, 30)}))
    file = toy.embodiment_file(tmp_path / 'smaller.yaml')
    smaller = yaml.safe_load(file.read_text())
    smaller['cameras']['head'] |= {'width': 64, 'height': 48}
    file.write_text(yaml.safe_dump(smaller))
    again = replace(settings, steps=1, init_from=str(first), embodiment=str(file))
    kept = train(replace(again, output=str(tmp_path / 'kept')))
    all_of_it = {'head': (0, 0, 48, 64)}
    told = train(replace(again, output=str(tmp_path / 'told'), crops=all_of_it))
    seen = [Processor.load(f / 'processor.json').embodiment.cameras for f in (first, kept, told)]
    assert [c['head'].crop for c in seen] == [(8, 12, 20, 30), (4, 6, 10, 15), (0, 0, 48, 64)]


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
    data = Demonstrations.read({str(other): 1.0}, toy.embodiment())
    assert bounds[2] == data.processor(toy.tiny(), {}, data.moments(16)).action_upper
    assert 'beyond the bounds of the checkpoint, cut there: ' in capsys.readouterr().err


def test_a_dataset_names_its_task_where_the_settings_do_not(settings, recorded, tmp_path):
    other = toy.record(tmp_path / 'touch', 4, seed=1, instruction='Touch it again, slowly!')
    data = Demonstrations.read({str(recorded): 1.0, str(other): 1.0}, toy.embodiment())
    assert data.tasks({}) == {
        'touch': toy.INSTRUCTION,
        'touch_it_again_slowly': 'Touch it again, slowly!',
    }
    assert data.tasks({'tap': toy.INSTRUCTION, 'rest': 'Rest.'}) == {'tap': toy.INSTRUCTION}


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


@pytest.mark.parametrize(
    'change',
    ['bf16', 'gradient_checkpointing', pytest.param('compiled', marks=pytest.mark.slow)],
)
def test_in_bf16_on_a_cpu_it_learns_the_same(settings, tmp_path, change):
    AcceleratorState._reset_state(reset_partial_state=True)  # which precision it is once chosen
    bf16 = replace(settings, **{'bf16': True, change: True}, output=str(tmp_path / 'bf16'))
    try:
        train(bf16)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    train(settings)
    for name in ('action', 'video'):
        low, full = (_last(tmp_path / run, name) for run in ('bf16', 'run'))
        assert low == pytest.approx(full, rel=0.05)


def test_compiled_says_what_it_needs(settings, monkeypatch):
    monkeypatch.setattr('sysconfig.get_path', lambda name: '/nowhere')
    with pytest.raises(ValueError, match=r'missing here: /nowhere/Python.h, of .*dev;'):
        train(replace(settings, compiled=True, processes=2))


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
    assert 'already finished' in again.stderr


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


def test_a_run_that_augments_every_example_ends_in_a_checkpoint(settings):
    folder = train(replace(settings, augment='example', steps=2))
    assert DiT4DiTPolicy.load(folder, toy.embodiment()).trained


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

    monkeypatch.setattr('dit4dit_policy.training.rounds.train', train_nothing)
    words = ['train', '--config', str(_ROOT / 'config/train_teleop.yaml')]
    assert cli.main([*words, '--data', 'monday', 'tuesday', '--output', 'both']) == 0
    assert cli.main(words) == 0
    named, plain = given
    assert named.datasets == {'monday': 1.0, 'tuesday': 1.0} and named.output == 'both'
    assert plain == replace(named, datasets={'runs/teleop': 1}, output='runs/train_teleop')
    assert 'pick_and_place' in plain.task_table()
    assert cli.main([*words, '--cameras', 'head,left_wrist']) == 0
    assert given[-1].cameras == ('head', 'left_wrist')
    assert cli.main([*words, '--init-from', 'runs/pretrain_gr1/checkpoint']) == 0
    assert given[-1].init_from == 'runs/pretrain_gr1/checkpoint'
