"""The folder of a training: it goes on there only with what it was begun with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from dit4dit_policy.training.config import TrainConfig

#: Entries that change how fast a training goes, not what comes of it.
_FREE = ('output', 'threads', 'processes', 'evaluate_every', 'gradient_checkpointing', 'rounds')
_CONFIG, _DATA = 'config.yaml', 'data.json'


def check_output(config: TrainConfig, data: Mapping[str, Any]) -> int:
    """Steps of the training in `output` that are done; 0 where none is there.

    data: what a checkpoint records of its data. ValueError names what differs from what was begun.
    """
    output = Path(config.output)
    done = max((int(path.name[6:]) for path in output.glob('state-*[0-9]')), default=0)
    if not done and not (output / 'autoencoder.pt').is_file():
        return 0
    if differences := [*_other_entries(output, config), *_other_data(output, data)]:
        raise ValueError(
            f'{output} has a training of something else after {done} steps: '
            f'{"; ".join(differences)}. Choose another --output (to go on from its weights, with '
            f'init_from: {output / "checkpoint"}), or give it what it was begun with'
        )
    return done


def _other_entries(output: Path, config: TrainConfig) -> list[str]:
    path = output / _CONFIG
    if not path.is_file():
        return []
    before, now = asdict(TrainConfig.read(path)), asdict(config)
    return [
        f'{name} was {before[name]!r}, is {now[name]!r}'
        for name in now
        if name not in _FREE and before[name] != now[name]
    ]


def _other_data(output: Path, data: Mapping[str, Any]) -> list[str]:
    path = output / _DATA
    if not path.is_file():
        return []
    before = json.loads(path.read_text())
    if before['hash'] == data['hash']:
        return []
    kinds = ('episodes', 'frames')
    was, now = (' and '.join(f'{facts[k]} {k}' for k in kinds) for facts in (before, data))
    return [f'the datasets had {was}, have {now}' if was != now else 'the datasets have changed']


@contextmanager
def output_folder(config: TrainConfig, data: Mapping[str, Any], writes: bool) -> Iterator[Path]:
    """The folder, made, with what the training begins with; no new one is left where that fails.

    writes: whether this process is the one that does.
    """
    output = Path(config.output)
    new = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    try:
        if writes:
            entries = asdict(config) | {'cameras': list(config.cameras)}
            (output / _CONFIG).write_text(yaml.safe_dump(entries, sort_keys=False))
            (output / _DATA).write_text(json.dumps(data, indent=2) + '\n')
        yield output
    except BaseException:
        if new and writes and not (output / 'autoencoder.pt').is_file():
            shutil.rmtree(output, ignore_errors=True)
        raise
