"""A chunk and a safety mode as something to look at: paths of the hands, a colour for a mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g1_control.safety import Mode
from g1_description import SIDES, Side, load_robot
from g1_description.kinematics import ArmKinematics

Colour = tuple[float, float, float]

_MODE_COLOURS: dict[Mode, Colour] = {
    Mode.DISARMED: (0.6, 0.6, 0.6),
    Mode.ARMING: (0.95, 0.85, 0.1),
    Mode.ACTIVE: (0.1, 0.8, 0.2),
    Mode.HOLD: (1.0, 0.55, 0.0),
    Mode.DISARMING: (0.95, 0.85, 0.1),
    Mode.ESTOP: (0.9, 0.1, 0.1),
}


def mode_colour(mode: int) -> Colour:
    """RGB, 0 to 1, of a mode of SafetyStatus."""
    return _MODE_COLOURS[Mode(mode)]


def hand_paths(
    names: Sequence[str], positions: ArrayLike, kinematics: ArmKinematics
) -> dict[Side, NDArray[np.float64]]:
    """Where a chunk takes the hands: (K, 3) of 'left' and 'right' grasp frame in the pelvis [m].

    names: (J,) joints in any order, positions: (K, J) [rad, m]. Raises ValueError saying what is
    wrong when an arm joint is missing or a number is not finite.
    """
    arms = load_robot().arm_joints
    missing = set(arms) - set(names)
    if missing:
        raise ValueError(f'a chunk without {", ".join(sorted(missing))}')
    values = np.asarray(positions, float)
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(f'expected {len(names)} positions a point, got shape {values.shape}')
    if not np.isfinite(values).all():
        raise ValueError('a chunk with positions that are not finite')
    poses = [kinematics.forward(q) for q in values[:, [list(names).index(name) for name in arms]]]
    return {side: np.array([pose[side][:3, 3] for pose in poses]).reshape(-1, 3) for side in SIDES}
