"""An environment and a policy for tests, found as module:attribute; no torch, so they load soon."""

import os
import threading
from pathlib import Path

import numpy as np

from dit4dit_policy.evaluation.environment import Conduct, Step
from dit4dit_policy.inference.chunk_policy import Observation
from g1_description import Camera, Embodiment, Group

TOY = Embodiment(
    name='toy',
    robot_type='toy',
    rate=10.0,
    groups=(Group('arm', ('a', 'b'), ('a',)),),
    cameras={'front': Camera('front', 'front', 32, 32), 'side': Camera('side', 'side', 32, 32)},
)


class ToyEnvironment:
    """Reach: 'a' has to come above 1 in 10 chunks; in the variant 'far' above 100."""

    embodiment = TOY
    tasks: tuple[str, ...] = ('reach', 'rest')
    variants = ('far',)

    def variants_of(self, task):
        return self.variants if task == 'reach' else ()

    def __init__(self, cameras, latency):
        self._cameras = cameras
        self._latency = latency

    def _observation(self):
        images = {name: np.full((32, 32, 3), 7, np.uint8) for name in self._cameras}
        return Observation(images, np.array([self._a, 0.0]), 'go up', 0.2 * self._steps)

    def reset(self, task, seed, variant=''):
        self._steps, self._a = 0, 0.0
        self._goal = 100.0 if variant == 'far' else 1.0 + seed % 2 * 50.0
        return self._observation()

    def step(self, chunk):
        self._steps += 1
        self._a = float(chunk[1, 0])
        success = self._a > self._goal
        done = success or self._steps == 10
        counts = {'bumps': self._steps}
        time = 0.2 * self._steps
        return Step(self._observation(), done, success, time, 'done' if success else 'low', counts)

    def close(self):
        pass


class ToyPolicy:
    """Goes up by half a unit a chunk."""

    embodiment = TOY
    cameras = ('front',)
    step = 0.1
    horizon = 4
    model_id = 'toy'
    trained = True

    def __init__(self, checkpoint, embodiment):
        assert checkpoint == 'anything' and embodiment.name == TOY.name

    def infer(self, observation, prefix=None):
        assert observation.images['front'].shape == (32, 32, 3)
        return observation.state[:1] + np.full((4, 1), 0.5)


class PatientPolicy(ToyPolicy):
    """The same, all of its chunks followed to their ends."""

    follow = 4


class ServedEnvironment(ToyEnvironment):
    """The same with suites, one policy for all attempts, scenes from 4 on and no latency."""

    tasks = ('easy-0', 'easy-1', 'hard-0')
    conduct = Conduct(first_seed=4, latency=0.0, served=True, scenes=54)

    def __init__(self, cameras, latency):
        assert latency == 0.0
        super().__init__(cameras, latency)

    def reset(self, task, seed, variant=''):
        return super().reset(task, 1 if task.startswith('hard') else 0, variant)


class StuckEnvironment(ToyEnvironment):
    """No step of it ends; in STUCK_FOLDER a file is named by its process."""

    def step(self, chunk):
        Path(os.environ['STUCK_FOLDER'], str(os.getpid())).touch()
        threading.Event().wait()


class DyingEnvironment(ToyEnvironment):
    """Its process is ended in the first step."""

    def step(self, chunk):
        os._exit(9)
