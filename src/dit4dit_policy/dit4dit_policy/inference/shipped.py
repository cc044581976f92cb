"""Checkpoints by name or folder, and the entry point `dit4dit` of `dit4dit.policies`.

Torch is imported when one is loaded, not before.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from dit4dit_policy.inference.robot_match import check_files
from g1_description import Embodiment

if TYPE_CHECKING:
    from dit4dit_policy.inference.policy import DiT4DiTPolicy

#: Name of the checkpoint that is taken where none is named.
DEFAULT = 'small'

_SHIPPED = Path(__file__).parents[1] / 'checkpoints'


def load(checkpoint: str, embodiment: Embodiment) -> DiT4DiTPolicy:
    """The policy of the checkpoint `checkpoint` for that robot; see `ChunkPolicy`."""
    return load_policy(checkpoint, embodiment)


def load_policy(
    checkpoint: str | Path | None = None, embodiment: Embodiment | None = None
) -> DiT4DiTPolicy:
    """The policy of a checkpoint; `embodiment` and errors as of `DiT4DiTPolicy.load`."""
    from dit4dit_policy.inference.policy import DiT4DiTPolicy

    return DiT4DiTPolicy.load(checkpoint_folder(checkpoint), embodiment)


def check(checkpoint: str, robot: Embodiment) -> None:
    """ValueError where its files show that it cannot drive that robot; without torch."""
    check_files(checkpoint_folder(checkpoint), robot)


def cameras_of(checkpoint: str) -> tuple[str, ...]:
    """Names of the cameras that it looks at; () where its files do not say; without torch."""
    path = checkpoint_folder(checkpoint) / 'processor.json'
    try:
        found = json.loads(path.read_text())['embodiment']['cameras']
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return tuple(found) if isinstance(found, dict) else ()


def checkpoint_folder(checkpoint: str | Path | None = None) -> Path:
    """The folder of a checkpoint: of one that ships with the suite by its name, or any.

    Without one, the default. A folder of a shipped one's name is meant by ./NAME.
    """
    name = str(checkpoint or DEFAULT)
    shipped = _SHIPPED / name
    return shipped if name in shipped_names() else Path(name).expanduser()


def checkpoint_for(given: str, policy: str) -> str:
    """What was given for a policy of `dit4dit.policies`, or the default's name; '' for others."""
    return given or (DEFAULT if policy == 'dit4dit' else '')


def shipped_names() -> tuple[str, ...]:
    """Names of the checkpoints that ship with the suite."""
    return tuple(sorted(path.parent.name for path in _SHIPPED.glob('*/config.json')))


def described(checkpoint: str | Path | None = None) -> str:
    """Its name, and how many parameters its files hold, where they can be read; without torch."""
    folder = checkpoint_folder(checkpoint)
    try:
        count = sum(_parameters(path) for path in folder.glob('*.safetensors'))
    except (OSError, ValueError):
        count = 0
    return f'{folder.name} ({count / 1e6:.1f} M)' if count else str(folder)


def _parameters(path: Path) -> int:
    """By the header of a safetensors file: its length in 8 bytes, then JSON."""
    with path.open('rb') as file:
        length = int.from_bytes(file.read(8), 'little')
        if length > path.stat().st_size:
            raise ValueError(f'{path}: expected a header within the file, got one of {length} B')
        tensors = json.loads(file.read(length))
    return sum(math.prod(t['shape']) for name, t in tensors.items() if name != '__metadata__')
