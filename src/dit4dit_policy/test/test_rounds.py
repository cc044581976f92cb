"""`dit4dit train --rounds`: train, let an expert correct what came of it, train on all."""

import json

import numpy as np
import pytest
import toy_models as toy
import yaml

from dit4dit_policy.cli import main
from dit4dit_policy.evaluation.environment import Step
from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.inference.processor import Processor
from dit4dit_policy.model import presets
from dit4dit_policy.training.config import TrainConfig


class TouchEnvironment:
    """Joints 0 and 1 have to come to where the square is."""

    embodiment = toy.embodiment()
    tasks = ('touch',)
    variants = ()

    def __init__(self, cameras, latency):
        self._cameras = cameras
        self._observer = lambda seen: None

    def watch(self, observer, size):
        self._observer = observer

    def reset(self, task, seed, variant=''):
        self._place = np.random.default_rng(seed).uniform(0.3, 1.0, size=2)
        self._time, self._state = 0.0, np.zeros(16)
        return self._seen()

    def expert(self):
        return Toucher(self._time, self._state.copy(), self._place)

    def step(self, chunk):
        for target in chunk[1:3]:
            self._time += 0.1
            self._state = np.clip(target, -0.5, 1.5)
            seen = self._seen()
        success = bool(np.abs(self._state[:2] - self._place).max() < 0.02)
        return Step(seen, success, success, self._time, 'done' if success else 'off')

    def close(self):
        pass

    def _seen(self):
        image = toy.scene(self._place, min(self._time, 1.0), (240, 320))
        images = dict.fromkeys(self._cameras, image)
        seen = Observation(images, self._state.copy(), toy.INSTRUCTION, self._time)
        self._observer(seen)
        return seen


class Toucher:
    """Goes there within a second and a half."""

    def __init__(self, begun, state, place):
        self._begun, self._from, self._to = begun, state, state.copy()
        self._to[:2] = place
        self.end = begun + 1.5

    def target(self, stamp):
        share = np.clip((stamp - self._begun) / 1.5, 0.0, 1.0)
        return self._from + share * (self._to - self._from)

    def __call__(self, observation):
        return np.stack([self.target(observation.stamp + 0.1 * k) for k in range(16)])


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
        'rounds': {'env': f'{__name__}:TouchEnvironment', 'episodes': 3, 'steps': 3, 'lr': 1e-4},
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
