"""`dit4dit experiment`: trainings that differ in one thing, and what came of them."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import toy_models as toy
import yaml
from filelock import FileLock
from PIL import Image

from dit4dit_policy.cli import main
from dit4dit_policy.experiments.experiment import Experiment
from dit4dit_policy.experiments.phases import flattened, phases, silhouette
from dit4dit_policy.experiments.runner import trained
from dit4dit_policy.model import presets


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setitem(presets.PRESETS, 'tiny', toy.tiny())
    path = tmp_path / 'question.yaml'
    train = {
        'preset': 'tiny', 'embodiment': str(toy.embodiment_file(tmp_path / 'toy.yaml')),
        'datasets': {str(toy.record(tmp_path / 'touch', episodes=4)): 1.0}, 'val_fraction': 0.25,
        'autoencoder_steps': 2, 'autoencoder_batch_size': 2, 'variants': 1, 'steps': 2,
        'batch_size': 4, 'video_batch_size': 2, 'warmup_steps': 1, 'threads': 1, 'bf16': False,
    }  # fmt: skip
    arms: dict[str, object] = {
        'first': {'model': {'backbone.feature_layer': 0}},
        'apart': [{'mode': 'video'}, {'mode': 'action', 'feature_gradient': False}],
    }
    entries = {
        'question': 'Does it matter?',
        'x': 'layer',
        'train': train,
        'arms': arms,
        'seeds': [0, 1],
        'trial': {'env': 'toy_touch:TouchEnvironment', 'episodes': 2},
    }
    path.write_text(yaml.safe_dump(entries, sort_keys=False))
    return path


def test_arms_are_trained_tried_and_compared(file, tmp_path, capsys):
    out = tmp_path / 'out'
    words = ['experiment', str(file), '--out', str(out), '--seeds', '1', '--workers', '1']
    assert main(words) == 0
    assert 'Does it matter?' in capsys.readouterr().out
    found = out / 'question'
    first, apart = json.loads((found / 'results.json').read_text())
    assert (first['arm'], first['seed'], first['attempts']) == ('first', 0, 2)
    assert first['error'] > 0 and apart['error'] > 0
    assert json.loads((found / 'results.json').read_text())[0]['video'] > 0
    head, rule, *rows = (found / 'table.md').read_text().splitlines()
    assert head.startswith('| layer | seeds | held-out error [rad] |') and rule.count('---') == 6
    assert [row.split(' | ')[0] for row in rows] == ['| first', '| apart']
    assert '/2 (' in rows[0] and sum(first['stages'].values()) == 2 - first['successes']
    assert Image.open(found / 'result.png').width > 500
    trainings = {path: path.stat().st_mtime_ns for path in out.glob('trainings/*/checkpoint')}
    assert len(trainings) == 3  # one, and two one after the other
    record = json.loads((Path(apart['checkpoint']) / 'config.json').read_text())
    assert record['training']['before']['mode'] == 'video'
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in trainings} == trainings  # not made again


def test_a_first_look_takes_a_share_of_steps_and_episodes(file):
    experiment = Experiment.read(file).scaled(0.5)
    assert experiment.trainings('first', 0)[0].steps == 1 and experiment.trial.episodes == 1
    assert experiment.trainings('first', 1)[0].seed == 1
    assert experiment.trainings('first', 0)[0].model == {'backbone.feature_layer': 0}


def test_a_file_begins_with_the_entries_of_another(file, capsys):
    common = file.parent / 'base' / 'common.yaml'
    common.parent.mkdir()
    file.rename(common)
    own = {'question': 'And so?', 'like': 'base/common.yaml', 'train': {'steps': 7}}
    file.write_text(yaml.safe_dump(own))
    experiment = Experiment.read(file)
    training = experiment.trainings('first', 1)[0]
    assert (experiment.question, experiment.x, experiment.name) == ('And so?', 'layer', 'question')
    assert (training.steps, training.preset) == (7, 'tiny')
    common.unlink()
    assert main(['experiment', str(file)]) == 2
    assert f'expected the file of an experiment, {common}' in capsys.readouterr().err


def test_an_experiment_waits_for_a_training_that_another_one_makes(file, tmp_path):
    stages = Experiment.read(file).trainings('first', 0)
    done = trained(stages, tmp_path)
    other = threading.Thread(target=trained, args=(stages, tmp_path))
    with FileLock(f'{done.output}.lock'):
        other.start()
        other.join(0.3)
        assert other.is_alive()
    other.join(30)
    assert not other.is_alive()


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'answer': 42}, "got ['answer']"),
        ({'train': {'preset': 'nano'}}, 'datasets'),
        ({'train': 'nano.yaml'}, 'expected entries by name'),
        ({'arms': {'a': {'stepz': 3}}}, "unknown ['stepz']"),
        ({'trial': {'tasks': 'all'}}, 'tasks'),
    ],
)
def test_a_wrong_file_is_one_line(file, capsys, change, text):
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | change))
    assert main(['experiment', str(file)]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count('\n') == 1


def test_every_file_here_is_an_experiment():
    files = sorted((Path(__file__).parents[3] / 'config' / 'experiments').glob('*.yaml'))
    assert len(files) == 8
    for file in files:
        experiment = Experiment.read(file)
        assert len(experiment.arms) >= 2 and len(experiment.seeds) == 3
        for arm in experiment.arms:
            for training in experiment.trainings(arm, 0):
                presets.changed(presets.preset(training.preset), training.model)
        assert file.read_text().startswith(f'# dit4dit experiment config/experiments/{file.name} ')


def test_phases_begin_where_a_gripper_shuts_or_opens():
    action = np.array([[0.0, 1.0], [0.1, 1.0], [0.2, 0.0], [0.3, 0.0], [0.4, 1.0]])
    assert phases(action, [1]).tolist() == [0, 0, 1, 1, 2]
    assert phases(action * [1.0, 0.0], [1]).tolist() == [0] * 5  # one that never moves


def test_silhouette_of_clusters():
    rng = np.random.default_rng(0)
    label = np.arange(60) % 3
    noise = rng.normal(size=(60, 8))
    apart = noise + 50.0 * np.eye(3, 8)[label]
    assert silhouette(apart, label) > 0.9
    assert abs(silhouette(noise, label)) < 0.1
    assert flattened(apart).shape == (60, 2)
