"""What came of attempts, one line each: an interrupted evaluation goes on from there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dit4dit_policy.evaluation.rollouts import Attempt, AttemptOutcome, Setting
from dit4dit_policy.inference.shipped import checkpoint_folder


class Journal:
    """Of one policy in one environment; its first line says of which."""

    def __init__(self, path: Path, setting: Mapping[str, Any]) -> None:
        """ValueError where the file is there and of another setting."""
        self._path = path
        self.outcomes: dict[Attempt, AttemptOutcome] = {}
        text = path.read_bytes() if path.is_file() else b''
        whole = text[: text.rfind(b'\n') + 1]
        if whole != text:  # a line that was being written as its writer was killed
            os.truncate(path, len(whole))
        lines = whole.decode().splitlines()
        if not lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(setting) + '\n')
            return
        there = json.loads(lines[0])
        if there != json.loads(json.dumps(setting)):
            differ = sorted(k for k in {*there, *setting} if there.get(k) != setting.get(k))
            raise ValueError(
                f'{path}: attempts of another setting ({", ".join(differ)} differ); choose another '
                '--out, or remove it'
            )
        for line in lines[1:]:
            row = json.loads(line)
            outcome = AttemptOutcome(**row | {'attempt': Attempt(**row['attempt'])})
            self.outcomes[outcome.attempt] = outcome

    def add(self, outcome: AttemptOutcome) -> None:
        """Keeps what came of an attempt."""
        self.outcomes[outcome.attempt] = outcome
        with self._path.open('a') as file:
            file.write(json.dumps(asdict(outcome)) + '\n')


def fingerprint(setting: Setting) -> str:
    """Of the checkpoint in a folder, by its record of training; '' of what lies elsewhere."""
    record = checkpoint_folder(setting.checkpoint) / 'config.json'
    return hashlib.sha256(record.read_bytes()).hexdigest()[:16] if record.is_file() else ''
