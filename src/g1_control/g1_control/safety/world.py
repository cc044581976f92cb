"""The world around the robot, as far as it is known: where its hands must not go.

Frame: the pelvis, x forward, y left, z up [m].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g1_control.safety.parameters import GUARDS, SafetyParameters

_ENDS = ('rear', 'front', 'right', 'left', 'lower', 'upper')  # of `workspace`, in its order


@dataclass(frozen=True)
class Wall:
    """A plane that hands stay on one side of.

    name: for a person; normal: away from the wall (3,); offset: normal . x of its points [m].
    """

    name: str
    normal: tuple[float, float, float]
    offset: float


def unset(parameters: SafetyParameters) -> str:
    """Which guard nobody has decided about, and what to do; empty if there is none.

    Raises ValueError when `world_off` names no guard, or a guard that is set.
    """
    off = [name for name in parameters.world_off if name]  # a file of parameters has no empty list
    for name in off:
        if name not in GUARDS:
            raise ValueError(
                f'parameter world_off: expected some of {", ".join(GUARDS)}, got {name!r}'
            )
        if getattr(parameters, name) is not None:
            raise ValueError(
                f'parameter world_off: {name} is switched off and set to '
                f'{getattr(parameters, name)}; remove one of the two'
            )
    missing = [name for name in GUARDS if name not in off and getattr(parameters, name) is None]
    if not missing:
        return ''
    return (
        f'{", ".join(missing)} not set: set each in config/safety.yaml as measured at the robot, '
        'or name it in world_off there'
    )


def walls(parameters: SafetyParameters) -> tuple[Wall, ...]:
    """The table and the ends of the workspace, as far as they are set.

    Raises ValueError when the workspace is not three ranges.
    """
    found = []
    if parameters.table_height is not None:
        found.append(Wall('table', (0.0, 0.0, 1.0), parameters.table_height))
    if parameters.workspace is not None:
        low, high = _ranges(parameters.workspace)
        for axis in range(3):
            for sign, ends in ((1.0, low), (-1.0, high)):
                normal = [0.0, 0.0, 0.0]
                normal[axis] = sign
                name = f'{_ENDS[2 * axis + (sign < 0)]} end of the workspace'
                found.append(Wall(name, (normal[0], normal[1], normal[2]), sign * ends[axis]))
    return tuple(found)


def _ranges(workspace: list[float]) -> tuple[np.ndarray, np.ndarray]:
    if len(workspace) != 6 or not all(
        low < high for low, high in zip(workspace[::2], workspace[1::2], strict=True)
    ):
        raise ValueError(
            'parameter workspace: expected 6 values, x from and to, y from and to, z from and to '
            f'[m], got {workspace}'
        )
    return np.array(workspace[::2]), np.array(workspace[1::2])
