"""How RoboCasa-GR1 is measured: as the authors of DiT4DiT do, who follow GR00T N1.

numpy alone: it runs on the simulator's side, and is tested without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_NOVEL = (
    'CuttingboardToBasket', 'CuttingboardToCardboardbox', 'CuttingboardToPan',
    'CuttingboardToPot', 'CuttingboardToTieredbasket', 'PlacematToBasket', 'PlacematToBowl',
    'PlacematToPlate', 'PlacematToTieredshelf', 'PlateToBowl', 'PlateToCardboardbox', 'PlateToPan',
    'PlateToPlate', 'TrayToCardboardbox', 'TrayToPlate', 'TrayToPot', 'TrayToTieredbasket',
    'TrayToTieredshelf',
)  # fmt: skip
_CLOSED = (
    'CupToDrawer', 'PotatoToMicrowave', 'MilkToMicrowave', 'BottleToCabinet', 'WineToCabinet',
    'CanToDrawer',
)  # fmt: skip
#: The simulator's names of the 24 tasks of the paper's table.
TASKS = (
    *(f'PosttrainPnPNovelFrom{name}SplitA' for name in _NOVEL),
    *(f'PnP{name}Close' for name in _CLOSED),
)
#: Steps that an attempt may take.
HORIZON = 720
#: Of a chunk's 16 actions, those that are carried out.
EXECUTED = 12
#: How many numbers of state and action are whose, in the embodiment's order.
GROUPS = {'left_arm': 7, 'right_arm': 7, 'left_hand': 6, 'right_hand': 6, 'waist': 3}

_PICTURE = 'video.ego_view_bg_crop_pad_res256_freq20'
_INSTRUCTION = 'annotation.human.coarse_action'  # begins with 'unlocked_waist: '


def environment_id(task: str) -> str:
    """The name in gymnasium's registry."""
    return f'gr1_unified/{task}_GR1ArmsAndWaistFourierHands_Env'


def seen(observation: Mapping[str, Any]) -> dict[str, Any]:
    """images, state (29,) [rad] and instruction of an observation of the simulator."""
    state = [observation[f'state.{group}'] for group in GROUPS]
    return {
        'images': {'ego_view': np.ascontiguousarray(observation[_PICTURE])},
        'state': np.concatenate(state).astype(np.float64),
        'instruction': str(observation[_INSTRUCTION]),
    }


def command(action: Array) -> dict[str, Array]:
    """What the simulator is given for an action (29,): absolute targets [rad], by group."""
    ends = np.cumsum(list(GROUPS.values()))[:-1]
    parts = np.split(np.asarray(action, dtype=np.float64), ends)
    return {f'action.{group}': part for group, part in zip(GROUPS, parts, strict=True)}
