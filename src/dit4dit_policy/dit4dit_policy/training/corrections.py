"""Corrections: a policy drives, an expert takes over and shows how it goes on from there.

Where there is no policy yet, an expert that is mistaken drives: it is quick, and errs alike.
The whole attempt is recorded; what the expert did is learnt from it (Ross et al., A Reduction of
Imitation Learning and Structured Prediction to No-Regret Online Learning, 2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.evaluation.environment import (
    Step,
    Teacher,
    TeacherLostError,
    TeachingEnvironment,
)
from dit4dit_policy.evaluation.rollouts import Attempt, load_policy, make_environment
from dit4dit_policy.inference.chunk_policy import ChunkPolicy, Observation
from dit4dit_policy.inference.following import Following
from g1_data import DatasetWriter, Extra, Schema
from g1_description import Embodiment
from g1_description.control_source import CONTROL_KEY, ControlSource

#: What `policy` is where an expert that is mistaken drives.
MISTAKEN = 'mistaken'
#: (H, W) of recorded pictures.
SIZE = (240, 320)
_EARLIEST = 1.0  # [s] that a policy drives at least, and at most as long as the expert would take;
_LATE = 0.4  # in this share of attempts until it stands still, or for
_LATEST = 16.0  # [s]: long after it would have been done, as after a grasp that missed
_MISTAKEN = (0.25, 1.0)  # of its motion's time that a mistaken expert drives in most attempts;
_DONE_WRONG = 0.4  # in this share of them to its end, and up to
_AFTER = 2.0  # [s] longer
_STALL = 2.0  # [s] without a motion are a stall: the expert takes over,
_MOVED = 0.02  # [rad, m] and this is a motion
_AGAIN = 2  # times a scene that is lost then is driven anew, and taken over earlier
_PLANS = 3  # of the expert, each from what the one before has left
_REST = 0.7  # [s] after a plan before its outcome is judged


@dataclass(frozen=True)
class Correction:
    """What came of an attempt.

    outcome: 'corrected', 'done' by the policy alone, 'lost', where the expert knew no way, or
    'failed', where it did not succeed. taken_over: when [s], None where the policy ended it.
    """

    attempt: Attempt
    outcome: str
    taken_over: float | None = None
    text: str = ''


@dataclass
class _Row:
    seen: Observation
    target: NDArray[np.float64]
    plan: int  # 0: of the policy


def schema_for(embodiment: Embodiment, cameras: tuple[str, ...]) -> Schema:
    """Of a dataset of corrections."""
    extras = {CONTROL_KEY: Extra(('control_source',), 'uint8')}
    return Schema.of(embodiment, dict.fromkeys(cameras, SIZE), extras=extras)


class Corrector:
    """A policy and an expert in an environment, one after the other."""

    def __init__(
        self, env: str, policy: str, checkpoint: str, latency: float, cameras: tuple[str, ...] = ()
    ) -> None:
        """cameras: recorded; () for those that the policy looks at."""
        bare = make_environment(env, (), latency)
        self._policy = None if policy == MISTAKEN else load_policy(policy, checkpoint, bare)
        seen = self._policy.cameras if self._policy else bare.embodiment.model_cameras
        self._cameras = cameras or seen
        bare.close()
        environment: Any = make_environment(env, self._cameras, latency)
        needed = ('watch', 'expert') + (() if self._policy else ('mistaken',))
        if missing := [name for name in needed if not hasattr(environment, name)]:
            raise ValueError(
                f'{env}: expected an environment with an expert, this one has no {missing[0]}'
            )
        self._environment: TeachingEnvironment = environment
        self._environment.watch(self._record, SIZE)
        self._rows: list[_Row] = []
        self._driver: Teacher | _Driver | None = None
        self._plan = 0

    @property
    def schema(self) -> Schema:
        """Of the dataset that `correct` writes."""
        return schema_for(self._environment.embodiment, self._cameras)

    def correct(self, attempt: Attempt, writer: DatasetWriter) -> Correction:
        """One attempt; it is written where the expert has brought it to its end.

        Where it was taken over too late for that, it is driven again, and taken over earlier.
        """
        rng = np.random.default_rng((attempt.seed, 3))
        correction = self._correct(attempt, writer, rng)
        for _ in range(_AGAIN):
            late = correction.taken_over or 0.0
            if correction.outcome not in ('lost', 'failed') or late <= _EARLIEST:
                break
            correction = self._correct(attempt, writer, rng, rng.uniform(_EARLIEST, late))
        return correction

    def _correct(
        self,
        attempt: Attempt,
        writer: DatasetWriter,
        rng: np.random.Generator,
        latest: float = np.inf,
    ) -> Correction:
        self._rows, self._plan, self._driver = [], 0, None
        observation = self._environment.reset(attempt.task, attempt.seed, attempt.variant)
        if not self._rows:
            self._record(observation)
        try:
            until = min(self._drive(rng), latest)
        except TeacherLostError as error:
            return Correction(attempt, 'lost', text=str(error))
        while observation.stamp < until and not self._stalled():
            step = self._step(observation)
            if step.done:
                outcome = 'done' if step.success else 'failed'
                return Correction(attempt, outcome, text=step.text)
            observation = step.observation
        begun = observation.stamp
        try:
            success = self._finish(observation)
        except TeacherLostError as error:
            return Correction(attempt, 'lost', begun, str(error))
        if success:
            self._write(writer, observation.instruction)
        return Correction(attempt, 'corrected' if success else 'failed', begun)

    def _drive(self, rng: np.random.Generator) -> float:
        """Lets a policy drive, or a mistaken expert; until when it may [s]."""
        if self._policy:
            self._driver = _Driver(self._policy)
            if rng.uniform() < _LATE:
                return _LATEST
            return rng.uniform(_EARLIEST, min(self._environment.expert().end, _LATEST))
        self._driver = motion = self._environment.mistaken(rng)
        if rng.uniform() < _DONE_WRONG:
            return motion.end + rng.uniform(0.0, _AFTER)
        return motion.end * rng.uniform(*_MISTAKEN)

    def _finish(self, observation: Observation) -> bool:
        """Plans of the expert until one succeeds; whether one does."""
        for plan in range(1, _PLANS + 1):
            expert = self._environment.expert()
            self._driver, self._plan = expert, plan
            self._rows[-1].plan = plan
            while observation.stamp < expert.end + _REST:
                step = self._step(observation)
                if step.done:
                    return step.success
                observation = step.observation
        return False

    def _step(self, observation: Observation) -> Step:
        assert self._driver is not None
        chunk, row = self._driver(observation), self._rows[-1]
        row.target = self._driver.target(row.seen.stamp)  # it was seen before the chunk was made
        return self._environment.step(chunk)

    def _record(self, seen: Observation) -> None:
        if self._driver:
            target = self._driver.target(seen.stamp)
        else:  # the first row of all: who drives says what it wants with its first chunk
            target = np.zeros(len(self._environment.embodiment.action_names))
        self._rows.append(_Row(seen, target, self._plan))

    def _stalled(self) -> bool:
        now = self._rows[-1].seen.stamp
        if now < _STALL:
            return False
        recent = [row.seen.state for row in self._rows if row.seen.stamp >= now - _STALL]
        return bool(np.ptp(recent, axis=0).max() < _MOVED)

    def _write(self, writer: DatasetWriter, instruction: str) -> None:
        """Only the plan that succeeded teaches: what went wrong before it is no example."""
        with writer.episode(instruction) as episode:
            for row in self._rows:
                taught = row.plan == self._plan
                source = ControlSource.OPERATOR if taught else ControlSource.POLICY
                control = {CONTROL_KEY: np.array([source], dtype=np.uint8)}
                episode.add(row.seen.state, row.target, row.seen.images, control)


class _Driver:
    """A policy whose last chunk says what it wants at a stamp, once it has been asked for one."""

    def __init__(self, policy: ChunkPolicy) -> None:
        self._policy, self._following = policy, Following(policy)

    def __call__(self, observation: Observation) -> NDArray[np.float64]:
        self._stamp, (self._chunk, _) = observation.stamp, self._following(observation)
        return self._chunk

    def target(self, stamp: float) -> NDArray[np.float64]:
        """Of the newest chunk."""
        step = round((stamp - self._stamp) / self._policy.step)
        return self._chunk[min(step, len(self._chunk) - 1)]
