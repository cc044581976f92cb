"""An environment for tests in which the robot of toy_models touches the square, and an expert."""

import numpy as np
import toy_models as toy

from dit4dit_policy.evaluation.environment import Step
from dit4dit_policy.inference.chunk_policy import Observation


class TouchEnvironment:
    """Joints 0 and 1 have to come to where the square is."""

    embodiment = toy.embodiment()
    tasks = ('touch',)
    variants = ()

    def __init__(self, cameras, latency):
        self._cameras = cameras
        self._observer = lambda seen: None
        self._limit = 2.0

    def watch(self, observer, size):
        self._observer, self._limit = observer, np.inf

    def reset(self, task, seed, variant=''):
        self._place = np.random.default_rng(seed).uniform(0.3, 1.0, size=2)
        self._time, self._state = 0.0, np.zeros(16)
        return self._seen()

    def expert(self):
        return Toucher(self._time, self._state.copy(), self._place)

    def step(self, chunk):
        for target in chunk[1:3]:
            self._time += 0.1
            self._state = np.clip(target, -0.5, 1.5)
            seen = self._seen()
        success = bool(np.abs(self._state[:2] - self._place).max() < 0.02)
        done = success or self._time >= self._limit
        return Step(seen, done, success, self._time, 'done' if success else 'off')

    def close(self):
        pass

    def _seen(self):
        image = toy.scene(self._place, min(self._time, 1.0), (240, 320))
        images = dict.fromkeys(self._cameras, image)
        seen = Observation(images, self._state.copy(), toy.INSTRUCTION, self._time)
        self._observer(seen)
        return seen


class Toucher:
    """Goes there within a second and a half."""

    def __init__(self, begun, state, place):
        self._begun, self._from, self._to = begun, state, state.copy()
        self._to[:2] = place
        self.end = begun + 1.5

    def target(self, stamp):
        share = np.clip((stamp - self._begun) / 1.5, 0.0, 1.0)
        return self._from + share * (self._to - self._from)

    def __call__(self, observation):
        return np.stack([self.target(observation.stamp + 0.1 * k) for k in range(16)])
