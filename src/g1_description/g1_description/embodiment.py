"""A robot's shape, as data, models and simulators share it: groups of numbers, cameras, rate.

One YAML a robot, in `embodiments/` or anywhere. State and action are vectors, made of the same
groups in the same order; a group may have no part in one of them, and as many numbers as it likes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import yaml
from numpy.typing import NDArray

from g1_description.plugins import find_plugin

T = TypeVar('T')
Array = NDArray[np.float64]

StateEncoding = Literal['min_max', 'sin_cos', 'sin_cos_interleaved', 'none']
ActionEncoding = Literal['min_max', 'none']


@dataclass(frozen=True)
class Group:
    """Numbers that belong together, as an arm's joints.

    state, action: names of its numbers in each vector [rad, m]; may be empty. state_encoding: how
    the model sees them: scaled from the data's range to [-1, 1], as all sines and then all cosines,
    as sine and cosine of each in turn, or as they are. action_encoding: scaled or as they are.
    relative: actions are given to the model less the present state (the names must be the state's).
    binary: decoded actions are 0 or 1, whichever is nearer.
    """

    name: str
    state: tuple[str, ...]
    action: tuple[str, ...]
    state_encoding: StateEncoding = 'min_max'
    action_encoding: ActionEncoding = 'min_max'
    relative: bool = False
    binary: bool = False


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole without distortion [px]."""

    fx: float
    fy: float
    cx: float
    cy: float


@dataclass(frozen=True)
class Mount:
    """Where a camera sits: its colour sensor in the frame of `link`, x ahead, z up [m, rad]."""

    link: str
    position: tuple[float, float, float]
    rpy: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Camera:
    """A colour camera.

    key: its feature in a dataset, as observation.images.ego_view. width, height [px] of its images.
    topic: before /image_raw and /camera_info. frame: its optical frame. crop: (top, left, height,
    width) [px] of what the model is shown, within its images, None for all. model: whether the
    model sees it where nothing else is asked for. intrinsics and mount: None where nobody renders
    it or looks along it.
    """

    name: str
    key: str
    width: int
    height: int
    topic: str = ''
    frame: str = ''
    crop: tuple[int, int, int, int] | None = None
    model: bool = True
    intrinsics: Intrinsics | None = None
    mount: Mount | None = None

    def __post_init__(self) -> None:
        if self.crop is not None and not self._crop_fits():
            raise ValueError(
                f'crop of camera {self.name}: expected (top, left, height, width) within '
                f'{self.height} x {self.width}, got {self.crop}'
            )

    def _crop_fits(self) -> bool:
        crop: Any = self.crop
        if not isinstance(crop, tuple) or [type(n) for n in crop] != [int] * 4:
            return False
        top, left, height, width = crop
        inside = top + height <= self.height and left + width <= self.width
        return inside and min(top, left) >= 0 and min(height, width) > 0

    def crop_at(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Of its picture at that size what the model is shown: the crop, scaled, or all."""
        if self.crop is None:
            return 0, 0, height, width
        down, across = height / self.height, width / self.width
        top, left = round(self.crop[0] * down), round(self.crop[1] * across)
        rows, columns = round(self.crop[2] * down), round(self.crop[3] * across)
        return top, left, min(rows, height - top), min(columns, width - left)

    @property
    def fovy(self) -> float:
        """Vertical field of view in degrees; of a camera with intrinsics."""
        assert self.intrinsics is not None
        return float(np.degrees(2 * np.arctan(self.height / (2 * self.intrinsics.fy))))


@dataclass(frozen=True)
class Limit:
    """Of one number of state or action: its range and where it rests [rad, m]."""

    lower: float
    upper: float
    home: float


@dataclass(frozen=True)
class Embodiment:
    """A robot as data and models know it.

    robot_type: in a dataset's info.json. rate: rows of a dataset and targets of a chunk a second.
    groups, cameras: in order. limits: of each number of state and action, where they are known.
    hands: module:function that `hand_positions` asks, where there is one.
    """

    name: str
    robot_type: str
    rate: float
    groups: tuple[Group, ...]
    cameras: Mapping[str, Camera]
    limits: Mapping[str, Limit] = field(default_factory=dict)
    hands: str = ''

    @property
    def step(self) -> float:
        """Time between two rows of a dataset, or two targets of a chunk [s]."""
        return 1.0 / self.rate

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the numbers of a state, in their order."""
        return tuple(name for group in self.groups for name in group.state)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the numbers of an action, in their order."""
        return tuple(name for group in self.groups for name in group.action)

    def state_slices(self) -> dict[str, slice]:
        """Which numbers of a state are of which group."""
        return _slices((group.name, len(group.state)) for group in self.groups)

    def action_slices(self) -> dict[str, slice]:
        """Which numbers of an action are of which group."""
        return _slices((group.name, len(group.action)) for group in self.groups)

    @property
    def model_cameras(self) -> tuple[str, ...]:
        """Names of the cameras that a model sees where nothing else is asked for."""
        return tuple(name for name, camera in self.cameras.items() if camera.model)

    def select_cameras(self, names: Iterable[str]) -> tuple[Camera, ...]:
        """Cameras by name, in the order asked for. ValueError names those that there are."""
        names = tuple(names)
        unknown = [name for name in names if name not in self.cameras]
        if unknown or not names or len(set(names)) != len(names):
            raise ValueError(
                f'cameras: {self.name} has {", ".join(self.cameras)}; expected some of them, each '
                f'once, got {", ".join(names) or "none"}'
            )
        return tuple(self.cameras[name] for name in names)

    def with_cameras(self, names: Iterable[str]) -> Embodiment:
        """The same robot with these cameras alone, all for the model to see; ValueError as above.

        Without names it stays as it is.
        """
        names = tuple(names)
        chosen = self.select_cameras(names) if names else ()
        return replace(
            self, cameras={c.name: replace(c, model=True) for c in chosen} or self.cameras
        )

    def bounds(self, names: Iterable[str]) -> tuple[Array, Array]:
        """Lower and upper limits of these numbers. ValueError where a limit is not stated."""
        limits = [self._limit(name) for name in names]
        return np.array([x.lower for x in limits]), np.array([x.upper for x in limits])

    def home(self, names: Iterable[str]) -> Array:
        """Where these numbers rest. ValueError where that is not stated."""
        return np.array([self._limit(name).home for name in names])

    def hand_positions(self, states: Array) -> Array:
        """(N, H, 3) where its hands are [m] in states (N, S). ValueError where nobody can say."""
        if not self.hands:
            raise ValueError(f'{self.name}: its description does not say where its hands are')
        positions: Array = find_plugin('g1_description.hands', self.hands)(self.state_names, states)
        return positions

    def _limit(self, name: str) -> Limit:
        if name not in self.limits:
            raise ValueError(f'{self.name}: no limits are stated for {name!r}')
        return self.limits[name]


#: What the section `hardware` has to hold, and its part `gripper`.
HARDWARE = ('joints', 'gripper', 'pelvis_height', 'capsules')
GRIPPER = ('joints', 'stroke', 'home', 'effort')

SHIPPED = Path(__file__).parent / 'embodiments'


#: Names the robot, or its YAML, of whoever asks for none by name.
EMBODIMENT_VARIABLE = 'G1_EMBODIMENT'


@cache
def load_embodiment(name: str | Path | None = None) -> Embodiment:
    """The embodiment of that name, or described by that YAML file.

    None is that of the environment variable G1_EMBODIMENT, or `g1_aloha`. Raises ValueError naming
    file and entry, where one is missing, unknown or at odds.
    """
    path = embodiment_path(name)
    try:
        return read_embodiment(yaml.safe_load(path.read_text()))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def embodiment_path(name: str | Path | None) -> Path:
    """The YAML of a shipped embodiment's name, or of a path; None as in `load_embodiment`.

    ValueError names those that ship.
    """
    name = name or os.environ.get(EMBODIMENT_VARIABLE) or 'g1_aloha'
    path = Path(name) if str(name).endswith(('.yaml', '.yml')) else SHIPPED / f'{name}.yaml'
    if not path.is_file():
        shipped = ', '.join(sorted(file.stem for file in SHIPPED.glob('*.yaml')))
        raise ValueError(f'no embodiment {str(name)!r}; there are: {shipped}, or a YAML file')
    return path


def read_embodiment(content: Any) -> Embodiment:
    """An embodiment from the content of its YAML; what is for the robot alone is left to others."""
    sections = keys(
        content,
        'file',
        ('name', 'robot_type', 'rate', 'groups', 'cameras'),
        ('limits', 'hands', 'hardware'),
    )
    groups = tuple(_group(name, entry) for name, entry in sections['groups'].items())
    for kind in ('state', 'action'):
        names = [name for group in groups for name in getattr(group, kind)]
        if len(set(names)) != len(names) or not names:
            raise ValueError(f'groups: expected each {kind} name once, and some, got {names}')
    limits = _hardware_limits(sections.get('hardware')) | {
        name: Limit(*row) for name, row in sections.get('limits', {}).items()
    }
    for name, limit in limits.items():
        if not limit.lower <= limit.home <= limit.upper:
            raise ValueError(
                f'limits of {name}: expected home from {limit.lower} to {limit.upper}, '
                f'got {limit.home}'
            )
    if not sections['rate'] > 0:
        raise ValueError(f'rate: expected a number above 0 Hz, got {sections["rate"]}')
    return Embodiment(
        name=sections['name'],
        robot_type=sections['robot_type'],
        rate=float(sections['rate']),
        groups=groups,
        cameras={name: _camera(name, entry) for name, entry in sections['cameras'].items()},
        limits=limits,
        hands=sections.get('hands', ''),
    )


def _group(name: str, values: dict[str, Any]) -> Group:
    """`joints` is short for the same names in state and action."""
    values = dict(values)
    joints = values.pop('joints', None)
    if joints is not None:
        values |= {'state': joints, 'action': joints}
    group = entry(Group, f'groups.{name}', {'name': name, 'state': (), 'action': (), **values})
    encodings = {'state_encoding': StateEncoding, 'action_encoding': ActionEncoding}
    for key, choices in encodings.items():
        if getattr(group, key) not in get_args(choices):
            raise ValueError(
                f'groups.{name}.{key}: expected one of {", ".join(get_args(choices))}, '
                f'got {getattr(group, key)!r}'
            )
    if group.relative and group.state != group.action:
        raise ValueError(f'groups.{name}: relative actions need the names of the state')
    return group


def _camera(name: str, values: dict[str, Any]) -> Camera:
    values = {'name': name, **values}
    for key, kind in (('intrinsics', Intrinsics), ('mount', Mount)):
        if values.get(key) is not None:
            values[key] = entry(kind, f'cameras.{name}.{key}', values[key])
    return entry(Camera, f'cameras.{name}', values)


def _hardware_limits(hardware: Any) -> dict[str, Limit]:
    """Limits of a robot's own joints and grippers; `Robot` reads the rest of that section."""
    if hardware is None:
        return {}
    hardware = keys(hardware, 'hardware', HARDWARE)
    gripper = keys(hardware['gripper'], 'gripper', GRIPPER)
    opening = Limit(0.0, gripper['stroke'], gripper['home'])
    return {
        name: Limit(joint['lower'], joint['upper'], joint['home'])
        for name, joint in hardware['joints'].items()
    } | dict.fromkeys(gripper['joints'], opening)


def _slices(sizes: Iterable[tuple[str, int]]) -> dict[str, slice]:
    found, start = {}, 0
    for name, size in sizes:
        found[name] = slice(start, start + size)
        start += size
    return found


def entry(kind: type[T], where: str, values: Any) -> T:
    """`values` as a dataclass; lists become tuples. ValueError names missing and unknown keys."""
    known = fields(kind)  # type: ignore[arg-type]
    needed = tuple(f.name for f in known if f.default is MISSING and f.default_factory is MISSING)
    values = keys(values, where, needed, tuple(f.name for f in known if f.name not in needed))
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def keys(
    values: Any, where: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """`values`, a mapping with all of `needed` and nothing but these and `optional`."""
    expected = ', '.join((*needed, *(f'{name} (optional)' for name in optional)))
    if not isinstance(values, dict):
        raise ValueError(f'{where}: expected a mapping with {expected}, got {values!r}')
    missing = set(needed) - set(values)
    unknown = set(values) - set(needed) - set(optional)
    if missing or unknown:
        raise ValueError(
            f'{where}: expected {expected}'
            + (f'; missing: {", ".join(sorted(missing))}' if missing else '')
            + (f'; unknown: {", ".join(sorted(map(str, unknown)))}' if unknown else '')
        )
    return values
