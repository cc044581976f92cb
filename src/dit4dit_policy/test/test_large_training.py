"""What the start of a training takes of memory when there are very many episodes."""

import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_models as toy
from grown_dataset import LENGTH, grown

from dit4dit_policy.model.cosmos.backbone import CosmosBackbone
from dit4dit_policy.training.demonstrations import Demonstrations
from dit4dit_policy.training.latent_cache import LatentCache

TRAIN = """
import re, sys, threading, time
from pathlib import Path
import toy_models as toy
from dit4dit_policy.model import presets
from dit4dit_policy.training.config import TrainConfig
from dit4dit_policy.training.train import train

peaks = {'RssAnon': 0, 'VmRSS': 0}
def watch():
    while True:
        status = dict(re.findall(r'(\\w+):\\s+(\\d+) kB', Path('/proc/self/status').read_text()))
        for name in peaks:
            peaks[name] = max(peaks[name], int(status[name]) / 1000)
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()

presets.PRESETS['tiny'] = toy.tiny()
began, cpu = time.monotonic(), time.process_time()
train(TrainConfig(
    preset='tiny', datasets={sys.argv[1]: 1.0}, output=sys.argv[2], autoencoder_steps=3,
    autoencoder_batch_size=2, variants=1, steps=2, batch_size=4, video_batch_size=2,
    warmup_steps=1, evaluate_every=2, threads=1, bf16=False, augment=sys.argv[3],
))
print(f'{peaks["RssAnon"]:.0f} {peaks["VmRSS"]:.0f}', end=' ')
print(f'{time.monotonic() - began:.0f} {time.process_time() - cpu:.0f}')
"""


def test_latents_are_not_all_in_memory_while_they_are_encoded(tmp_path, monkeypatch):
    recorded = toy.record(tmp_path / 'touch', episodes=6)
    made: list[weakref.ref[np.ndarray]] = []
    most = 0

    def alive():
        return sum(reference() is not None for reference in made)

    def encode(_backbone, clip):
        nonlocal most
        values = np.ones((len(clip), 16, 1, 4, 6), np.int16)  # lives as long as a tensor of it
        made.append(weakref.ref(values))
        most = max(most, alive())
        return torch.from_numpy(values).view(torch.bfloat16)

    monkeypatch.setattr(CosmosBackbone, 'encode', encode)
    data = Demonstrations.read({str(recorded): 1.0}, toy.embodiment())
    config: Any = toy.tiny()
    backbone = CosmosBackbone(config.backbone)
    cache = LatentCache(tmp_path / 'cache')
    ((latents,),) = cache.latents(backbone, data, 1, lambda items, _what, _count: items)
    assert latents.shape == (6 * 24, 16, 1, 4, 6)
    assert most <= 2  # the newest, and the one before
    assert not alive()


@pytest.mark.slow
@pytest.mark.timeout(10800)
@pytest.mark.parametrize('augment', ['episode', 'example'])
@pytest.mark.parametrize('count', [1_000, 10_000, 100_000])
def test_a_training_starts_in_two_gigabytes(tmp_path: Path, count: int, augment: str) -> None:
    """From reading to the first evaluation; prints memory and time."""
    root = grown(tmp_path / 'set', count, files=True)
    done = subprocess.run(
        [sys.executable, '-c', TRAIN, str(root), str(tmp_path / 'run'), augment],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,  # where toy_models is
        env={**os.environ, 'XDG_CACHE_HOME': str(tmp_path / 'cache')},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    own, resident, seconds, cpu = map(int, done.stdout.split())
    print(
        f'\n{count} episodes of {LENGTH} frames, augment: {augment}: {own} MB at most, '
        f'{resident} MB with what is mapped from the disk; {seconds} s, {cpu} s of CPU'
    )
    assert own < 2000
