"""Whether a checkpoint is for a robot, as its files say it: without its weights, without torch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from g1_description import Embodiment
from g1_description.embodiment import read_embodiment

#: Of `processor.json`.
FORMAT = 2

_FILES = ('config.json', 'model.safetensors', 'processor.json')


def check_files(folder: Path, robot: Embodiment) -> None:
    """ValueError where `folder` is no checkpoint, or one for another robot; says what is there."""
    if not folder.is_dir():
        hint = '; `dit4dit convert` makes one of a .pt file' if folder.suffix == '.pt' else ''
        raise ValueError(f'{folder} is no folder; a checkpoint is one with {_listed(_FILES)}{hint}')
    if missing := [name for name in _FILES if not (folder / name).is_file()]:
        raise ValueError(
            f'{folder} has no {_listed(missing)}; a checkpoint is a folder with {_listed(_FILES)}'
        )
    _content(folder / 'config.json')
    path = folder / 'processor.json'
    content = _content(path)
    check_format(path, content.get('format'))
    try:
        check_robot(read_embodiment(content.get('embodiment')), robot)
    except ValueError as error:
        raise ValueError(f'{folder}: {error}') from None


def check_format(path: Path, found: object) -> None:
    """ValueError where `processor.json` is not of this version, with what converts it."""
    if found == FORMAT:
        return
    remedy = (
        f'`dit4dit convert --upgrade {path.parent}` converts it'
        if found == 1
        else 'train or convert it with this version'
    )
    raise ValueError(f'{path}: expected format {FORMAT}, got {found}; {remedy}')


def check_robot(trained: Embodiment, robot: Embodiment) -> None:
    """ValueError where that robot's numbers or cameras are not those trained on.

    The rate may be another: a chunk says when its targets are due.
    """
    for what, names, there in (
        ('state', trained.state_names, robot.state_names),
        ('action', trained.action_names, robot.action_names),
    ):
        if names != there:
            raise ValueError(
                f'{what}: the checkpoint was trained on {_listed(names)} of {trained.name}; '
                f'{robot.name} has {_listed(there)}'
            )
    if missing := [name for name in trained.cameras if name not in robot.cameras]:
        raise ValueError(
            f'cameras: the checkpoint sees {_listed(trained.cameras)}; {robot.name} has no '
            f'{_listed(missing)}, it has {_listed(robot.cameras)}'
        )


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f'{path}: not JSON: {error}') from None
    if not isinstance(content, dict):
        raise ValueError(f'{path}: expected an object, got {type(content).__name__}')
    return content


def _listed(names: Iterable[str]) -> str:
    return ', '.join(names)
