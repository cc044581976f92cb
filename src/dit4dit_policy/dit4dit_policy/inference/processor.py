"""Images, joint states and actions: from the robot's units to the model's, and back."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Array = NDArray[np.float64]
FORMAT = 1


@dataclass(frozen=True)
class Processor:
    """All that a checkpoint has to know about its robot and its data; `processor.json`.

    `joint_names` is the order of every state and action vector [rad, m]. The four bounds, one value
    a joint, map to [-1, 1]. A 'sin_cos' state is the sines of its joints and then the cosines, of
    all together or of each of `state_groups` (numbers of joints that follow each other). `step` [s]
    lies between two targets of a chunk, which are given `lead` steps early: a policy that sees a
    pause as it was demonstrated would otherwise stay in it. Sampling starts from noise of the
    standard deviation `noise`: at 0 it gives the middle of the chunks there are. `tasks` are names
    and the instructions trained on. `dataset` says where the bounds come from: names, episodes and
    a hash, or nothing for an untrained model.
    """

    joint_names: tuple[str, ...]
    state_lower: tuple[float, ...]
    state_upper: tuple[float, ...]
    action_lower: tuple[float, ...]
    action_upper: tuple[float, ...]
    image: tuple[int, int]
    state_dim: int
    action_dim: int
    state_encoding: Literal['min_max', 'sin_cos']
    tasks: dict[str, str]
    cameras: tuple[str, ...] = ('head',)
    step: float = 0.1
    lead: int = 0
    noise: float = 1.0
    state_groups: tuple[int, ...] = ()
    dataset: dict[str, Any] | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f'processor: expected format {FORMAT}, got {self.format}')
        joints = len(self.joint_names)
        if len(set(self.joint_names)) != joints:
            raise ValueError(f'processor: a joint is named twice in {self.joint_names}')
        if self.state_encoding not in ('min_max', 'sin_cos'):
            raise ValueError(
                f'processor: state_encoding: expected min_max or sin_cos, got {self.state_encoding}'
            )
        if self.state_groups and (
            self.state_encoding != 'sin_cos' or sum(self.state_groups) != joints
        ):
            raise ValueError(
                f'processor: state_groups: expected numbers of sin_cos joints, {joints} in all, '
                f'got {self.state_groups} of {self.state_encoding}'
            )
        if not self.step > 0:
            raise ValueError(f'processor: step: expected a time above 0 s, got {self.step}')
        if self.lead < 0 or self.noise < 0:
            raise ValueError(
                f'processor: expected lead and noise of at least 0, got {self.lead}, {self.noise}'
            )
        for name in ('state_lower', 'state_upper', 'action_lower', 'action_upper'):
            bounds = getattr(self, name)
            if len(bounds) != joints or not np.all(np.isfinite(bounds)):
                raise ValueError(
                    f'processor: {name} needs {joints} finite values, one a joint, got {bounds}'
                )
        for kind in ('state', 'action') if self.state_encoding == 'min_max' else ('action',):
            lower, upper = getattr(self, f'{kind}_lower'), getattr(self, f'{kind}_upper')
            for joint, low, high in zip(self.joint_names, lower, upper, strict=True):
                if low >= high:
                    raise ValueError(f'processor: {kind} of {joint} has no range, {low} .. {high}')
        values = joints * (2 if self.state_encoding == 'sin_cos' else 1)
        if values > self.state_dim or joints > self.action_dim:
            raise ValueError(
                f'processor: {joints} joints need {values} state and {joints} action values, '
                f'the model has {self.state_dim} and {self.action_dim}'
            )

    def encode_image(self, image: NDArray[np.uint8]) -> Tensor:
        """(3, H, W) in [0, 1] of an RGB image (any height, any width, 3) uint8."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f'image: expected (height, width, 3) uint8 RGB, got {image.shape} {image.dtype}'
            )
        return torch.from_numpy(resize(image, self.image)).permute(2, 0, 1).float() / 255

    def encode_state(self, positions: Array) -> Tensor:
        """(..., state_dim) of joint positions (..., joints) [rad, m], zero-padded."""
        joints = self._checked('joint positions', positions)
        if self.state_encoding == 'sin_cos':
            ends = np.cumsum(self.state_groups[:-1], dtype=int)
            groups = np.split(joints, ends, axis=-1)
            values = np.concatenate([f(g) for g in groups for f in (np.sin, np.cos)], axis=-1)
        else:
            values = _to_unit(joints, self.state_lower, self.state_upper).clip(-1.5, 1.5)
        return _padded(values, self.state_dim)

    def encode_action(self, targets: Array) -> Tensor:
        """(..., action_dim) in [-1, 1] of joint targets (..., joints) [rad, m], zero-padded."""
        targets = self._checked('joint targets', targets)
        return _padded(_to_unit(targets, self.action_lower, self.action_upper), self.action_dim)

    def decode_action(self, actions: Tensor) -> Array:
        """Joint targets (..., joints) [rad, m] of the model's actions (..., action_dim)."""
        unit = actions[..., : len(self.joint_names)].double().numpy().clip(-1, 1)
        lower, upper = np.array(self.action_lower), np.array(self.action_upper)
        return lower + (unit + 1) / 2 * (upper - lower)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + '\n')

    @classmethod
    def load(cls, path: Path) -> Processor:
        """Reads `processor.json`. ValueError says which entry is missing, unknown or wrong."""
        try:
            values = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f'{path}: not JSON: {error}') from None
        known = {f.name: f.default is MISSING for f in fields(cls)}
        if missing := [name for name, needed in known.items() if needed and name not in values]:
            raise ValueError(f'{path}: {missing[0]} is missing; train or convert again')
        if unknown := sorted(values.keys() - known.keys()):
            raise ValueError(f'{path}: unknown {unknown[0]}; known are {", ".join(known)}')
        entries: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            return cls(**entries)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from None

    def _checked(self, what: str, values: Array) -> Array:
        values = np.asarray(values, dtype=np.float64)
        if values.shape[-1] != len(self.joint_names):
            raise ValueError(
                f'{what}: expected {len(self.joint_names)} values in the order '
                f'{", ".join(self.joint_names)}, got shape {values.shape}'
            )
        if not np.all(np.isfinite(values)):
            raise ValueError(f'{what}: not finite: {values}')
        return values


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """`image` (H, W, 3) at `size` (height, width), every pixel the mean of the area it covers."""
    if image.shape[:2] == size:
        return image
    return np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))


def _to_unit(values: Array, lower: tuple[float, ...], upper: tuple[float, ...]) -> Array:
    low, high = np.array(lower), np.array(upper)
    return 2 * (values - low) / (high - low) - 1


def _padded(values: Array, size: int) -> Tensor:
    out = np.zeros((*values.shape[:-1], size), dtype=np.float32)
    out[..., : values.shape[-1]] = values
    return torch.from_numpy(out)
