"""A PICO headset and its controllers, as XRoboToolkit reads them. No ROS."""

from __future__ import annotations

import configparser
import importlib
import socket
import time

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g1_ros.operator import HandInput, OperatorInput

#: How the SDK reads each of `BUTTONS`.
_BUTTONS = {
    'A': 'get_A_button',
    'B': 'get_B_button',
    'X': 'get_X_button',
    'Y': 'get_Y_button',
    'left_menu': 'get_left_menu_button',
    'right_menu': 'get_right_menu_button',
    'left_stick': 'get_left_axis_click',
    'right_stick': 'get_right_axis_click',
}

#: Axes of XRoboToolkit (x right, y up, z back) in those of the robot (x forward, y left, z up).
_ROBOT_FROM_XR = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

_FROZEN = 0.5  # a pose that has not changed at all for so long is not tracked [s]
_LOOK_EVERY = 1.0  # for the PC service [s]


class XRoboToolkit:
    """A PICO headset through the XRoboToolkit PC service.

    Without a service or a headset it opens, and the stamp of what it reads stays 0; it connects by
    itself when they come. The service is looked for on this machine, or where [Client] connectAddr
    and connectPort of a file PXREASetting.ini in the working folder say (the SDK reads it so).

    Raises ValueError when the package xrobotoolkit-sdk is not installed.
    """

    def __init__(self) -> None:
        try:
            self._sdk = importlib.import_module('xrobotoolkit_sdk')
        except ImportError as error:
            raise ValueError(
                f'device xrobotoolkit needs the package xrobotoolkit-sdk ({error}); '
                'install it with: pip install xrobotoolkit-sdk==1.1.0'
            ) from None
        self._head, self._left, self._right = _Tracked(), _Tracked(), _Tracked()
        self._address = _service_address()
        self._looked, self._help = -_LOOK_EVERY, ''
        self._sdk.init()

    @property
    def silence_help(self) -> str:
        """What a person can do while the headset sends nothing."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            self._help = (
                'wake the headset and, in its XRoboToolkit app, connect it to this machine with '
                'Head, Controller and Send switched on'
                if _answers(self._address)
                else 'start the XRoboToolkit PC service: nobody answers at {}:{}'.format(
                    *self._address
                )
            )
        return self._help

    def read(self) -> OperatorInput:
        """The newest measurement, at once, with the headset's stamp: its clock is nobody's."""
        sdk, now = self._sdk, time.monotonic()
        return OperatorInput(
            stamp=sdk.get_time_stamp_ns(),
            left=HandInput(
                self._left.pose(sdk.get_left_controller_pose(), now),
                sdk.get_left_grip(),
                sdk.get_left_trigger(),
            ),
            right=HandInput(
                self._right.pose(sdk.get_right_controller_pose(), now),
                sdk.get_right_grip(),
                sdk.get_right_trigger(),
            ),
            head=self._head.pose(sdk.get_headset_pose(), now),
            buttons=frozenset(name for name, get in _BUTTONS.items() if getattr(sdk, get)()),
        )

    def close(self) -> None:
        """Leaves the SDK open: its own close may wait for ever, Python's interpreter with it.

        That is so once the PC service took half a second for a heartbeat, as on a busy computer.
        An SDK left open aborts the process in its destructors, which `os._exit` does not run.
        """


class _Tracked:
    """Tells a pose that is measured from one that is only repeated.

    The headset's app stamps when it sends, not what it sends: a controller out of sight or switched
    off may come with new stamps and its last pose. A tracked one trembles in its last digits.
    """

    def __init__(self) -> None:
        self._pose: list[float] = []
        self._since = 0.0

    def pose(self, xr_pose: ArrayLike, now: float) -> NDArray[np.float64] | None:
        """`robot_pose`, and None too for one that has stayed the same; now: [s], increasing."""
        values = np.asarray(xr_pose, float)
        if values.tolist() != self._pose:
            self._pose, self._since = values.tolist(), now
        return robot_pose(values) if now - self._since < _FROZEN else None


def _service_address() -> tuple[str, int]:
    """Where the SDK looks for the PC service."""
    settings = configparser.ConfigParser()
    settings.read('PXREASetting.ini')
    get = settings.get
    return (
        get('Client', 'connectAddr', fallback='127.0.0.1'),
        int(get('Client', 'connectPort', fallback='60061')),
    )


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=0.02).close()
    except OSError:
        return False
    return True


def robot_pose(xr_pose: ArrayLike) -> NDArray[np.float64] | None:
    """Pose (4, 4) in the robot's axes from XRoboToolkit's [x, y, z, qx, qy, qz, qw].

    None for a pose that is not tracked: its quaternion is zero.
    """
    values = np.asarray(xr_pose, float)
    length = np.linalg.norm(values[3:])
    if not np.isfinite(values).all() or length < 0.5:
        return None
    x, y, z, w = values[3:] / length
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    pose = np.eye(4)
    pose[:3, :3] = _ROBOT_FROM_XR @ rotation @ _ROBOT_FROM_XR.T
    pose[:3, 3] = _ROBOT_FROM_XR @ values[:3]
    return pose
