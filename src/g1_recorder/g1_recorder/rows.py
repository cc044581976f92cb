"""What a row holds, made of samples that come at times of their own. No ROS; times in s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from g1_data import Extra
from g1_description.control_source import CONTROL_KEY, ControlSource
from g1_recorder.health import image_name
from g1_recorder.synchronisation import Timeline

SIDES = ('left', 'right')
#: What a row's state is made of, and its action.
STATE = ('state', *(f'{side}_gripper' for side in SIDES))
ACTION = ('command', *(f'{side}_gripper_command' for side in SIDES))
_POSE = ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw')
HANDS = ('head', 'left', 'right')  # of teleop/hands
INPUTS = ('left_grip', 'left_trigger', 'right_grip', 'right_trigger')  # of teleop/inputs
OPERATOR = (*(f'{hand}_{axis}' for hand in HANDS for axis in _POSE), *INPUTS)

_SAMPLES = 1000  # kept of each source, several seconds


def row_extras(cameras: Sequence[str]) -> dict[str, Extra]:
    """What every row holds beside LeRobot's columns.

    Stamps of what it was made of [s, Unix], 0: there was none; their distance from the row's time
    [s]; poses [m] and inputs of the operator; who moved the arms (`ControlSource`).
    """
    images = (image_name(k, camera) for k, camera in enumerate(cameras))
    sources = (*images, *STATE, *ACTION, 'operator')
    return {
        'capture_stamp': Extra(sources, 'float64'),
        'residual': Extra(sources),
        'operator': Extra(OPERATOR),
        CONTROL_KEY: Extra(('control_source',), 'uint8'),
    }


class Samples:
    """The newest samples of joints, grippers, commands and the operator, by name."""

    def __init__(self) -> None:
        self._lines = {name: Timeline(_SAMPLES) for name in (*STATE, *ACTION, 'operator')}
        self._control = Timeline(_SAMPLES)

    def add(self, name: str, time: float, value: NDArray[np.float64]) -> None:
        """Appends a sample of the source of that name."""
        self._lines[name].add(time, value)

    def add_control(self, time: float, source: int) -> None:
        """From then on the arms are moved by this `ControlSource`."""
        self._control.add(time, np.array([source], float))

    def clear(self) -> None:
        """Forgets all samples."""
        self._control.clear()
        for line in self._lines.values():
            line.clear()

    def known_until(self, names: Sequence[str] = (*STATE, *ACTION)) -> float:
        """Up to when all of these have come; -inf before their first samples."""
        return min(self._lines[name].newest for name in names)

    def vectors(self, time: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """State and action at `time`, each source interpolated by its own stamps."""
        state, action = (
            np.concatenate([self._lines[name].at(time) for name in names])
            for names in (STATE, ACTION)
        )
        return state, action

    def extras(self, time: float, stamps: Sequence[float]) -> Mapping[str, NDArray[np.float64]]:
        """The extras of a row whose images were taken at `stamps`.

        An operator is not there when a policy moves the robot.
        """
        taken = list(stamps)
        operator = np.zeros(len(OPERATOR))
        for name, line in self._lines.items():
            stamp = 0.0
            if line.newest > 0:
                stamp, value = line.nearest(time)
                operator = value if name == 'operator' else operator
            taken.append(stamp)
        at = np.array(taken)
        residual = np.where(at > 0, np.abs(at - time), 0.0)
        source = np.array([float(ControlSource.NOBODY)])
        if self._control.newest > 0:
            _, source = self._control.latest(time)
        return {
            'capture_stamp': at,
            'residual': residual,
            'operator': operator,
            CONTROL_KEY: source,
        }
