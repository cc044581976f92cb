"""`dit4dit train --rounds`: train, let an expert correct what came of it, train on all."""

import json

import pytest
import toy_models as toy
import yaml

from dit4dit_policy.cli import main
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.inference.processor import Processor
from dit4dit_policy.model import presets
from dit4dit_policy.training.config import TrainConfig


def test_a_round_begins_from_the_last_one_and_teaches_what_the_expert_showed(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setitem(presets.PRESETS, 'tiny', toy.tiny())
    output = tmp_path / 'run'
    entries = {
        'preset': 'tiny', 'embodiment': str(toy.embodiment_file(tmp_path / 'toy.yaml')),
        'datasets': {str(toy.record(tmp_path / 'touch', episodes=4)): 1.0},
        'output': str(output), 'val_fraction': 0.25, 'autoencoder_steps': 2,
        'autoencoder_batch_size': 2, 'variants': 1, 'steps': 2, 'batch_size': 4,
        'video_batch_size': 2, 'warmup_steps': 1, 'threads': 1, 'bf16': False,
        'rounds': {
            'env': 'toy_touch:TouchEnvironment', 'episodes': 3, 'workers': 1, 'steps': 3,
            'lr': 1e-4,
        },
    }  # fmt: skip
    recipe = tmp_path / 'recipe.yaml'
    recipe.write_text(yaml.safe_dump(entries))
    assert main(['train', '--config', str(recipe), '--rounds', '1']) == 0
    first, last = output / 'checkpoint', output / 'round-1' / 'checkpoint'
    record = DiT4DiTPolicy.load(last, toy.embodiment()).training
    assert (record['steps'], record['before']['steps']) == (3, 2)
    assert record['datasets'] == ['touch', 'touch'] and record['weights'] == [1.0, 1.0]
    outcomes = [json.loads(x) for x in (output / 'round-1/corrections/attempts.jsonl').open()]
    assert [line['outcome'] for line in outcomes] == ['corrected'] * 3
    before, after = (Processor.load(path / 'processor.json') for path in (first, last))
    assert before.action_upper == after.action_upper  # its units stay

    written = last.stat().st_mtime_ns
    assert main(['train', '--config', str(recipe), '--rounds', '1']) == 0
    assert last.stat().st_mtime_ns == written  # all was there


def test_a_wrong_entry_is_named(tmp_path):
    recipe = tmp_path / 'recipe.yaml'
    recipe.write_text(yaml.safe_dump({'preset': 'nano', 'rounds': {'times': 2}}))
    with pytest.raises(ValueError, match=r'recipe\.yaml: .*times'):
        TrainConfig.read(recipe)
