"""Things that somebody else would add to the suite, from outside of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dit4dit_policy.evaluation.environment import Step
from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.model.backbone import Backbone, BackboneConfig
from dit4dit_policy.model.presets import preset
from g1_description import Embodiment, load_embodiment
from g1_description.kinematics import Side
from g1_sim import scenery
from g1_sim.scene import Scene
from g1_sim.tasks import SimTask
from g1_sim.waypoints import Meeting, Plan, Waypoint

ROBOT = Path(__file__).parent / 'toy_robot.yaml'


# --- a policy


@dataclass
class Waving:
    """Holds the pose that it sees, but for the last joint of the right arm."""

    embodiment: Embodiment
    cameras: tuple[str, ...] = ('head',)
    step: float = 0.1
    horizon: int = 16
    model_id: str = 'waving'
    trained: bool = True

    def infer(self, observation: Observation, prefix: Any = None) -> NDArray[np.float64]:
        """A slow wave that begins where the robot is."""
        chunk = np.tile(observation.state, (self.horizon, 1))
        chunk[:, 13] += 0.1 * np.sin(np.linspace(0.0, np.pi, self.horizon))
        return chunk


def waving(checkpoint: str, embodiment: Embodiment) -> Waving:
    return Waving(embodiment)


# --- a backbone


@dataclass(frozen=True, kw_only=True)
class PatchesConfig(BackboneConfig):
    """Patches of 16 x 16 pixels through one convolution."""

    channels: int = 32

    @property
    def width(self) -> int:
        return self.channels

    @property
    def tokens(self) -> int:
        height, width = self.frame
        return (height // 16) * (width // 16) + 1


class Patches(Backbone):
    """Tokens of patches, and one of the sentence's bytes."""

    Config: ClassVar[type[BackboneConfig]] = PatchesConfig

    def __init__(self, config: PatchesConfig) -> None:
        super().__init__()
        self.config = config
        self.patch = nn.Conv2d(3, config.channels, 16, 16)
        self.word = nn.Linear(64, config.channels)

    def encode(self, frames_B3THW: Tensor) -> Tensor:
        return frames_B3THW

    def embed(self, sentences: list[str]) -> Tensor:
        codes = torch.zeros(len(sentences), 1, 64)
        for row, sentence in zip(codes, sentences, strict=True):
            text = sentence.encode()[:64].ljust(64)
            row[0] = torch.tensor(list(text)) / 128
        return codes

    def features(
        self, observed_BC1hw: Tensor, noise: Tensor, prompt_BLE: Tensor, tau_B: Tensor
    ) -> Tensor:
        patches = self.patch(observed_BC1hw[:, :, 0]).flatten(2).transpose(1, 2)
        return torch.cat([patches, self.word(prompt_BLE)], dim=1)


def patches_config() -> Any:
    """A model of that backbone and nano's action DiT."""
    nano = preset('nano')
    backbone = PatchesConfig(kind='toy:Patches', image=(48, 64))
    return replace(nano, backbone=backbone, action=replace(nano.action, feature_dim=32))


# --- an environment


class Balance:
    """The first joint has to come to 0.5 within 20 chunks; no physics."""

    tasks = ('raise_it',)
    variants = ('heavy',)

    def __init__(self, cameras: tuple[str, ...], latency: float) -> None:
        self.embodiment = load_embodiment(ROBOT)
        self._state, self._time = np.zeros(8), 0.0

    def reset(self, task: str, seed: int, variant: str = '') -> Observation:
        if task not in self.tasks:
            raise ValueError(f'task: expected one of {", ".join(self.tasks)}, got {task!r}')
        self._state, self._time = np.zeros(8), 0.0
        self._state[0] = 0.01 * (seed % 10) - (2.0 if variant == 'heavy' else 0.0)
        return self._observation()

    def step(self, chunk: NDArray[np.float64]) -> Step:
        self._time += 0.2
        self._state[:6] = chunk[1, :6]
        success = abs(self._state[0] - 0.5) < 0.05
        done = success or self._time >= 4.0
        return Step(self._observation(), done, success, self._time, 'up' if success else 'down')

    def close(self) -> None: ...

    def _observation(self) -> Observation:
        pixels = np.full((48, 64, 3), 127, np.uint8)
        images = dict.fromkeys(self.embodiment.cameras, pixels)
        return Observation(images, self._state.copy(), 'Raise it.', self._time)


@dataclass
class Raising:
    """Raises the first joint by 0.05 a step."""

    embodiment: Embodiment
    cameras: tuple[str, ...] = ('front',)
    step: float = 0.1
    horizon: int = 16
    model_id: str = 'raising'
    trained: bool = True

    def infer(self, observation: Observation, prefix: Any = None) -> NDArray[np.float64]:
        chunk = np.zeros((self.horizon, 7))
        chunk[:, :6] = observation.state[:6]
        chunk[:, 0] += 0.05 * np.arange(self.horizon)
        return chunk


def raising(checkpoint: str, embodiment: Embodiment) -> Raising:
    return Raising(embodiment)


# --- a task with two hands

SIDES: tuple[Side, Side] = ('left', 'right')
HEIGHT = 0.95  # [m] above the floor; they rest at 0.85


class RaiseHands(SimTask):
    """Both hands have to come up to `HEIGHT`."""

    time_limit = 8.0
    instruction = 'Raise both hands.'
    stages = ('begun', 'done')

    def build(self, spec: mujoco.MjSpec) -> None:
        scenery.add_room(spec)

    def arrange(
        self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator
    ) -> None: ...

    def success(self, scene: Scene) -> bool:
        return all(scene.hand(side)[2, 3] > HEIGHT - 0.02 for side in SIDES)

    def progress(self, scene: Scene) -> str:
        return 'done' if self.success(scene) else 'begun'

    def plan(self, scene: Scene) -> Iterator[Plan]:
        goals = {side: scene.hand(side) for side in SIDES}
        for goal in goals.values():
            goal[2, 3] = HEIGHT
        yield [
            Waypoint(goals['left'], 0.02, 1.0, hand='left'),
            Meeting(),
            Waypoint(goals['right'], 0.02, 1.0, hand='right'),
            Meeting(),
            *(Waypoint(goals[side], 0.04, 0.5, hand=side) for side in SIDES),
        ]
