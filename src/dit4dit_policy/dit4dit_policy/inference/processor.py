"""Images, states and actions: from the robot's units to the model's, and back.

Shapes: S numbers of a state and A of an action, as the embodiment names them; H, W of the
frame as the model takes it, in which all its cameras are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit4dit_policy.inference.pictures import (
    Picture,
    as_tensor,
    in_its_place,
    in_one_frame,
    size_of,
    view,
)
from dit4dit_policy.inference.robot_match import FORMAT, check_format, check_robot
from dit4dit_policy.model.checks import check_choices
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.views import FurtherViews, Layout, Place, view_places
from g1_description import Camera, Embodiment, Group
from g1_description.embodiment import read_embodiment

Array = NDArray[np.float64]

#: States of a 'min_max' group may leave the range of the data by this share of it, no further.
_LARGEST_STATE = 1.5
#: Numbers that the model is given for one number of a state.
_VALUES = {'min_max': 1, 'none': 1, 'sin_cos': 2, 'sin_cos_interleaved': 2}


@dataclass(frozen=True)
class Processor:
    """All that a checkpoint has to know about its robot and its data; `processor.json`.

    embodiment: groups of numbers with their encodings, the cameras that the model sees in one
    frame, in this order, and the rate; see `seen_by`. state_*, action_*: bounds that 'min_max'
    groups map to [-1, 1], one a number; those of relative actions are of target less state. image:
    (H, W) of the first camera's picture. further_views: size of the others, `model.views`.
    state_dim, action_dim: of the model, the rest is padded with 0. tasks: names and the
    instructions trained on. action_shift: targets are given so many steps early: a policy that sees
    a pause as it was demonstrated would otherwise stay in it. initial_noise_std: of the noise that
    sampling starts from; at 0 it gives the middle of the chunks there are. imagined_noise_std:
    likewise, of the video that is imagined. follow: targets of a chunk that are followed before the
    next one is made, at least; 0: it is made as soon as can be. dataset: where the bounds come
    from: names, episodes and a hash, or nothing for an untrained model.
    """

    embodiment: Embodiment
    state_lower: tuple[float, ...]
    state_upper: tuple[float, ...]
    action_lower: tuple[float, ...]
    action_upper: tuple[float, ...]
    image: tuple[int, int]
    state_dim: int
    action_dim: int
    tasks: dict[str, str]
    action_shift: int = 0
    initial_noise_std: float = 1.0
    imagined_noise_std: float = 1.0
    follow: int = 0
    further_views: FurtherViews = 'full'
    dataset: dict[str, Any] | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        check_choices(self)
        if min(self.action_shift, self.initial_noise_std, self.imagined_noise_std) < 0:
            raise ValueError(
                'processor: expected action_shift, initial_noise_std and imagined_noise_std of at '
                f'least 0, got {self.action_shift}, {self.initial_noise_std} and '
                f'{self.imagined_noise_std}'
            )
        if type(self.follow) is not int or self.follow < 0:
            raise ValueError(f'processor: expected a follow of 0, 1, 2 ..., got {self.follow!r}')
        if not self.embodiment.cameras:
            raise ValueError('processor: expected at least one camera, got none')
        for kind, names in (('state', self.state_names), ('action', self.action_names)):
            for side in ('lower', 'upper'):
                bounds = getattr(self, f'{kind}_{side}')
                if len(bounds) != len(names) or not np.all(np.isfinite(bounds)):
                    raise ValueError(
                        f'processor: {kind}_{side} needs {len(names)} finite values, one a number '
                        f'of the {kind}, got {bounds}'
                    )
            scaled = self._scaled_state if kind == 'state' else self._scaled_action
            rows = zip(
                names, scaled, *(getattr(self, f'{kind}_{s}') for s in ('lower', 'upper')),
                strict=True,
            )  # fmt: skip
            for name, matters, low, high in rows:
                if matters and low >= high:
                    raise ValueError(f'processor: {kind} of {name} has no range, {low} .. {high}')
        values = self.encoded_states
        actions = len(self.action_names)
        if values > self.state_dim or actions > self.action_dim:
            raise ValueError(
                f'processor: {self.embodiment.name} needs {values} state and {actions} action '
                f'values, the model has {self.state_dim} and {self.action_dim}'
            )

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the numbers of a state, in order."""
        return self.embodiment.state_names

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the numbers of an action, in order."""
        return self.embodiment.action_names

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras that the model sees, in the order of their places in its frame."""
        return tuple(self.embodiment.cameras)

    @property
    def places(self) -> list[Place]:
        """Rows and columns of each camera's picture in the model's frame."""
        return view_places(*self.layout)

    @property
    def layout(self) -> Layout:
        """What decides where each camera's picture stands in the model's frame."""
        return self.image, len(self.cameras), self.further_views

    @property
    def step(self) -> float:
        """Time between two targets of a chunk [s]."""
        return self.embodiment.step

    def check_robot(self, robot: Embodiment) -> None:
        """ValueError where that robot's numbers or cameras are not those trained on.

        The rate may be another: a chunk says when its targets are due.
        """
        check_robot(self.embodiment, robot)

    def encode_images(self, images: Mapping[str, Picture]) -> Tensor:
        """(3, H, W) in [0, 1] of RGB images by camera, each (any height, any width, 3) uint8."""
        if missing := [name for name in self.cameras if name not in images]:
            raise ValueError(
                f'images: expected those of {_listed(self.cameras)}, got {_listed(images)}; '
                f'missing: {_listed(missing)}'
            )
        return as_tensor(self.frame({name: images[name] for name in self.cameras}))

    def frame(self, images: Mapping[str, Picture]) -> Picture:
        """(H, W, 3): the pictures of all its cameras, cropped and resized, in one frame."""
        cameras, places = self.embodiment.cameras.values(), self.places
        pairs = zip(cameras, places, strict=True)
        views = [view(images[camera.name], camera, size_of(place)) for camera, place in pairs]
        return in_one_frame(views, places)

    def uncropped(self, frame: Picture, images: Mapping[str, Picture]) -> Picture:
        """(H, W, 3): a frame as the model takes it in its place in the whole of `images`."""
        cameras, places = self.embodiment.cameras.values(), self.places
        pairs = zip(cameras, places, strict=True)
        views = [in_its_place(frame[place], images[c.name], c) for c, place in pairs]
        return in_one_frame(views, places)

    def encode_state(self, state: Array) -> Tensor:
        """(..., state_dim) of a state (..., S) [rad, m], zero-padded."""
        state = _checked('state', state, self.state_names)
        unit = self._state_unit(state)
        parts = []
        for group, place in self._groups(self.embodiment.state_slices()):
            values = state[..., place]
            match group.state_encoding:
                case 'min_max':
                    values = unit[..., place].clip(-_LARGEST_STATE, _LARGEST_STATE)
                case 'sin_cos':
                    values = np.concatenate([np.sin(values), np.cos(values)], axis=-1)
                case 'sin_cos_interleaved':
                    pairs = np.stack([np.sin(values), np.cos(values)], axis=-1)
                    values = pairs.reshape(*pairs.shape[:-2], -1)
            parts.append(values)
        return _padded(np.concatenate(parts, axis=-1), self.state_dim)

    @property
    def encoded_states(self) -> int:
        """How many numbers the model is given for a state, before padding."""
        return encoded_states(self.embodiment)

    def decode_state(self, encoded: Array) -> Array:
        """The state (..., S) [rad, m] of what `encode_state` makes of it, padding or not."""
        low, high = np.array(self.state_lower), np.array(self.state_upper)
        state, start = np.empty((*encoded.shape[:-1], len(self.state_names))), 0
        for group, place in self._groups(self.embodiment.state_slices()):
            width = len(group.state) * _VALUES[group.state_encoding]
            values = encoded[..., start : start + width]
            start += width
            match group.state_encoding:
                case 'min_max':
                    values = low[place] + (values + 1) / 2 * (high - low)[place]
                case 'sin_cos':
                    sin, cos = np.split(values, 2, axis=-1)
                    values = np.arctan2(sin, cos)
                case 'sin_cos_interleaved':
                    values = np.arctan2(values[..., 0::2], values[..., 1::2])
            state[..., place] = values
        return state

    def encode_action(self, targets: Array, state: Array | None = None) -> Tensor:
        """(..., action_dim) of targets (..., A) [rad, m], zero-padded; [-1, 1] where scaled.

        A target beyond its bounds is cut there, as `decode_action` would: where it hardly moves at
        all, its bounds are so near each other that it would be many times as far out.
        `state` (..., S), of the observation, broadcasts against the targets; needed where actions
        are relative to it.
        """
        targets = self.relative_to(_checked('targets', targets, self.action_names), state)
        low, high = self._action_bounds
        unit = (2 * (targets - low) / (high - low) - 1).clip(-1, 1)
        unit = np.where(self._scaled_action, unit, targets)
        return _padded(unit, self.action_dim)

    def decode_action(self, actions: Tensor, state: Array | None = None) -> Array:
        """Targets (..., A) [rad, m] of the model's actions (..., action_dim).

        Scaled ones stay within what was demonstrated. `state` as of `encode_action`.
        """
        values = actions[..., : len(self.action_names)].double().numpy()
        low, high = self._action_bounds
        scaled = low + (values.clip(-1, 1) + 1) / 2 * (high - low)
        targets = np.where(self._scaled_action, scaled, values)
        targets = self._added(targets, state, 1)
        return np.where(self._binary, targets >= 0.5, targets)

    def relative_to(self, targets: Array, state: Array | None) -> Array:
        """Targets (..., A), those of relative groups less the state (..., S)."""
        return self._added(targets, state, -1)

    def save(self, path: Path) -> None:
        """Writes `processor.json`."""
        values = asdict(self) | {'embodiment': _record(self.embodiment)}
        path.write_text(json.dumps(values, indent=2) + '\n')

    @classmethod
    def load(cls, path: Path) -> Processor:
        """Reads `processor.json`. ValueError says which entry is missing, unknown or wrong."""
        try:
            values = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f'{path}: not JSON: {error}') from None
        check_format(path, values.get('format'))
        known = {f.name: f.default is MISSING for f in fields(cls)}
        if missing := [name for name, needed in known.items() if needed and name not in values]:
            raise ValueError(f'{path}: {missing[0]} is missing; train or convert again')
        if unknown := sorted(values.keys() - known.keys()):
            raise ValueError(f'{path}: unknown {unknown[0]}; known are {", ".join(known)}')
        entries: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            return cls(**entries | {'embodiment': read_embodiment(values['embodiment'])})
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from None

    def _groups(self, places: dict[str, slice]) -> Iterator[tuple[Group, slice]]:
        return ((group, places[group.name]) for group in self.embodiment.groups)

    def _state_unit(self, state: Array) -> Array:
        low, high = np.array(self.state_lower), np.array(self.state_upper)
        width = np.where(self._scaled_state, high - low, 1.0)
        return 2 * (state - low) / width - 1

    def _added(self, targets: Array, state: Array | None, sign: int) -> Array:
        if not self._relative:
            return targets
        if state is None:
            raise ValueError('state: some actions are relative to it, it has to be given')
        state = _checked('state', state, self.state_names)
        targets = np.array(np.broadcast_arrays(targets, state[..., :1])[0])
        for action, place in self._relative:
            targets[..., action] += sign * state[..., place]
        return targets

    @cached_property
    def _relative(self) -> list[tuple[slice, slice]]:
        """Places in the action and in the state of what is relative."""
        action, state = self.embodiment.action_slices(), self.embodiment.state_slices()
        return [(action[g.name], state[g.name]) for g in self.embodiment.groups if g.relative]

    @cached_property
    def _scaled_state(self) -> NDArray[np.bool_]:
        groups = self.embodiment.groups
        return np.array([g.state_encoding == 'min_max' for g in groups for _ in g.state])

    @cached_property
    def _scaled_action(self) -> NDArray[np.bool_]:
        groups = self.embodiment.groups
        return np.array([g.action_encoding == 'min_max' for g in groups for _ in g.action])

    @cached_property
    def _binary(self) -> NDArray[np.bool_]:
        return np.array([g.binary for g in self.embodiment.groups for _ in g.action])

    @cached_property
    def _action_bounds(self) -> tuple[Array, Array]:
        """Of numbers that are not scaled, 0 and 1, whatever the data's are."""
        low, high = np.array(self.action_lower), np.array(self.action_upper)
        return np.where(self._scaled_action, low, 0.0), np.where(self._scaled_action, high, 1.0)


def encoded_states(embodiment: Embodiment) -> int:
    """How many numbers a model is given for a state of it, before padding."""
    return sum(len(group.state) * _VALUES[group.state_encoding] for group in embodiment.groups)


def seen_by(embodiment: Embodiment, cameras: tuple[str, ...]) -> Embodiment:
    """What a model keeps of an embodiment: its groups and rate, and these cameras, in this order.

    Topics, frames, mounts and limits are the robot's own. ValueError names the cameras there are.
    """
    return replace(
        embodiment,
        cameras={
            camera.name: Camera(
                camera.name, camera.key, camera.width, camera.height, crop=camera.crop
            )
            for camera in embodiment.select_cameras(cameras)
        },
        limits={},
    )


def encoded_for(config: ModelConfig, embodiment: Embodiment) -> Embodiment:
    """The embodiment with its states encoded as a model of that configuration wants them.

    What an embodiment states beside the usual scaling is its own.
    """
    if config.state_encoding != 'sin_cos':
        return embodiment
    groups = tuple(
        replace(group, state_encoding='sin_cos') if group.state_encoding == 'min_max' else group
        for group in embodiment.groups
    )
    return replace(embodiment, groups=groups)


def _record(embodiment: Embodiment) -> dict[str, Any]:
    """As `read_embodiment` reads it."""
    groups = {group.name: asdict(group) for group in embodiment.groups}
    return {
        'name': embodiment.name,
        'robot_type': embodiment.robot_type,
        'rate': embodiment.rate,
        'groups': {name: {k: v for k, v in g.items() if k != 'name'} for name, g in groups.items()},
        'cameras': {
            camera.name: {
                'key': camera.key,
                'width': camera.width,
                'height': camera.height,
                'crop': camera.crop,
            }
            for camera in embodiment.cameras.values()
        },
    }


def _checked(what: str, values: Array, names: tuple[str, ...]) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.shape[-1:] != (len(names),):
        raise ValueError(
            f'{what}: expected {len(names)} values in the order {", ".join(names)}, got shape '
            f'{values.shape}'
        )
    if not np.all(np.isfinite(values)):
        raise ValueError(f'{what}: not finite: {values}')
    return values


def _padded(values: Array, size: int) -> Tensor:
    out = np.zeros((*values.shape[:-1], size), dtype=np.float32)
    out[..., : values.shape[-1]] = values
    return torch.from_numpy(out)


def _listed(names: Iterable[str]) -> str:
    return ', '.join(names) or 'none'
