"""`processor.json` of older checkpoints, as this version reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from dit4dit_policy.inference.processor import FORMAT, Processor, seen_by
from g1_description import Camera, Embodiment, Group, load_embodiment
from g1_description.embodiment import StateEncoding


def upgrade_processor(folder: Path) -> bool:
    """Rewrites `processor.json` in `folder` where it is of format 1, the old one beside it.

    False where there was nothing to do. FileNotFoundError where there is none, ValueError where it
    cannot be read.
    """
    path = folder / 'processor.json'
    if not path.is_file():
        raise FileNotFoundError(f'no processor.json in {folder}')
    try:
        values = json.loads(path.read_text())
        if values.get('format') == FORMAT:
            return False
        processor = _from_format_1(values)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f'{path}: expected format 1 or {FORMAT}, it has another content: {error!r}'
        ) from None
    path.rename(path.with_suffix('.json.format1'))
    processor.save(path)
    return True


def _from_format_1(values: dict[str, Any]) -> Processor:
    bounds: dict[str, Any] = {
        f'{kind}_{side}': tuple(values[f'{kind}_{side}'])
        for kind in ('state', 'action')
        for side in ('lower', 'upper')
    }
    return Processor(
        embodiment=_embodiment(values),
        **bounds,
        image=tuple(values['image']),
        state_dim=values['state_dim'],
        action_dim=values['action_dim'],
        tasks=values['tasks'],
        action_shift=values.get('lead', 0),
        initial_noise_std=values.get('noise', 1.0),
        dataset=values.get('dataset'),
    )


def _embodiment(values: dict[str, Any]) -> Embodiment:
    """State and action were the same joints. Sines of all before their cosines: one group."""
    names, cameras = tuple(values['joint_names']), tuple(values.get('cameras', ('head',)))
    encoding: StateEncoding = values['state_encoding']
    sizes = tuple(values.get('state_groups', ()))
    ours = load_embodiment()
    if names == ours.action_names:
        robot = seen_by(ours, cameras)
    else:
        robot = Embodiment(
            name='robot',
            robot_type='',
            rate=1.0,
            groups=(Group('joints', names, names),),
            cameras={
                name: Camera(name, ours.cameras['head'].key, width=640, height=480)
                for name in cameras
            },
        )
    groups = robot.groups
    if sizes and sizes != tuple(len(group.state) for group in groups):
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        parts = [names[end - size : end] for size, end in zip(sizes, ends, strict=True)]
        groups = tuple(Group(f'group_{i}', part, part) for i, part in enumerate(parts))
    elif encoding == 'sin_cos' and not sizes:
        groups = (Group('joints', names, names),)
    groups = tuple(replace(group, state_encoding=encoding) for group in groups)
    return replace(robot, groups=groups, rate=1.0 / values.get('step', 0.1))
