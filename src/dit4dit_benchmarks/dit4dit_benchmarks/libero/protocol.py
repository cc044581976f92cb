"""How LIBERO is measured: as the authors of DiT4DiT do, who follow openpi and OpenVLA.

Numbers of steps, initial states, what of an observation the model is shown, and what becomes of its
actions. numpy alone: it runs on the simulator's side, and is tested without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Suite:
    """tasks: how many it has. horizon: steps that an attempt may take, not counting the wait."""

    tasks: int
    horizon: int


#: The first four are those of the paper's table.
SUITES = {
    'libero_spatial': Suite(10, 220),
    'libero_object': Suite(10, 280),
    'libero_goal': Suite(10, 300),
    'libero_10': Suite(10, 520),
    'libero_90': Suite(90, 400),
}
#: Of each task; attempt k begins in the k-th.
INIT_STATES = 50
#: Of numpy's generator, set when a task's simulation has been made.
SEED = 7
#: Steps without an action at the beginning, while objects come to rest.
WAIT_STEPS = 10
WAIT_ACTION = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
#: Pixels along a side of a camera's picture.
RESOLUTION = 256
#: Cameras of the simulator by the embodiment's names.
CAMERAS = {'agentview': 'agentview_image', 'wrist': 'robot0_eye_in_hand_image'}


def pictures(observation: Mapping[str, Any]) -> dict[str, Picture]:
    """By the embodiment's names, each turned by 180 degrees, as those trained on are."""
    return {
        name: np.ascontiguousarray(observation[key][::-1, ::-1]) for name, key in CAMERAS.items()
    }


def state(observation: Mapping[str, Any]) -> Array:
    """(8,): position and axis-angle of the end effector, both fingers [m, rad]."""
    return np.concatenate(
        [
            observation['robot0_eef_pos'],
            axis_angle(observation['robot0_eef_quat']),
            observation['robot0_gripper_qpos'],
        ]
    ).astype(np.float64)


def axis_angle(quaternion: Array) -> Array:
    """(3,) [rad] of (x, y, z, w). The angle is 0 to 2 pi: a negative w is not turned over."""
    w = np.clip(quaternion[3], -1.0, 1.0)
    sine = np.sqrt(1.0 - w * w)
    if np.isclose(sine, 0.0, rtol=1e-9, atol=0.0):
        return np.zeros(3)
    axis: Array = np.asarray(quaternion[:3], dtype=np.float64) / sine
    return axis * 2.0 * np.arccos(w)


def command(action: Array) -> list[float]:
    """What the simulator is given for an action (7,): its gripper is -1 to open, 1 to shut.

    The policy's is 1 for open, 0 for shut; the others are as the controller takes them.
    """
    *arm, gripper = np.asarray(action, dtype=np.float32)
    return [*map(float, arm), -1.0 if gripper > 0.5 else 1.0]
