"""The simulated tasks. A task is a class found by its name, in one file of its own.

Those that ship are entry points of the group `g1_sim.tasks`; any other is `module:Class`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import mujoco
import numpy as np

from g1_description.plugins import find_plugin, plugin_names
from g1_sim import scenery
from g1_sim.scene import Scene
from g1_sim.waypoints import Plan

_GROUP = 'g1_sim.tasks'


class SimTask(ABC):
    """What a task adds to the robot's simulation.

    World frame: x forward, y left, z up from the floor, the robot's pelvis above the origin.

    Attributes:
        name: what it was loaded as.
        variant: '' for the world of the demonstrations, or one of `variants`.
    """

    name: str
    #: What a policy is told; '': the sentence of the task's name in config/tasks.yaml.
    #: `arrange` may change it: the sentence is then part of the scene.
    instruction: str = ''
    #: The body that is watched for having been touched and lifted.
    object: str = 'object'
    #: Seconds after which an attempt has failed.
    time_limit: float = 15.0
    #: Whether demonstrations may begin near the first goal of the expert, nothing being in the way.
    near_starts: bool = True
    #: Worlds of this task alone beside the usual one, never in training data.
    own_variants: tuple[str, ...] = ()
    #: Names of what `progress` returns, in order.
    stages: tuple[str, ...] = ('begun', 'touched', 'lifted', 'done')

    def __init__(self, variant: str = '') -> None:
        """Raises ValueError naming the variants there are for another one."""
        if variant and variant not in self.variants:
            raise ValueError(
                f'no variant {variant!r}; this task has: {", ".join(self.variants) or "none"}'
            )
        self.variant = variant

    @property
    def variants(self) -> tuple[str, ...]:
        """Worlds beside the usual one: `camera`, mounted anew in every scene, and its own."""
        return ('camera', *self.own_variants)

    @abstractmethod
    def build(self, spec: mujoco.MjSpec) -> None:
        """Adds the room and the task's objects to the robot's spec."""

    @abstractmethod
    def arrange(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Puts the objects at random places, with random yaw and colours."""

    @abstractmethod
    def success(self, scene: Scene) -> bool:
        """Whether the task is done at this moment."""

    @abstractmethod
    def plan(self, scene: Scene) -> Iterator[Plan]:
        """Ways from the present state to success, the best first.

        Made when asked for: the first that the arms can follow is taken. Raises LostError, before
        the first, when nothing can be done any more.
        """

    def progress(self, scene: Scene) -> str:
        """The stage reached at this moment, one of `stages`."""
        if self.success(scene):
            return 'done'
        if scene.lifted(self.object):
            return 'lifted'
        return 'touched' if scene.held(self.object) else 'begun'

    def randomise(
        self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator
    ) -> None:
        """A new scene from the model as it was built: objects, light, in `camera` its mounting."""
        scenery.vary_view(model, rng, remounted=self.variant == 'camera')
        self.arrange(model, data, rng)
        mujoco.mj_forward(model, data)


def simulated_tasks() -> tuple[str, ...]:
    """Names of the tasks that installed packages offer, sorted."""
    return plugin_names(_GROUP)


def load_task(name: str, variant: str = '') -> SimTask:
    """The task of that name, or at `module:Class`.

    Raises ValueError naming the simulated tasks, or the task's variants, when there is none.
    """
    task: SimTask = find_plugin(_GROUP, name)(variant)
    task.name = name
    return task
