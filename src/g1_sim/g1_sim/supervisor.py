"""A person who lets a policy work at the simulator, and helps where it gets stuck. No ROS."""

from __future__ import annotations

import numpy as np

from g1_sim.demonstrator import Demonstrator, Doing
from g1_sim.trajectory import Trajectory

_STALL = 3.0  # [s] without a motion are a stall of a policy that has the arms,
_MOVED = 0.02  # [rad, m] and this is a motion
_LONGEST = 25.0  # [s], long after a policy would have been done
_DONE_FOR = 0.5  # [s] that the task has to stay done
_SETTLED = 1.0  # [s] that arms take to rest after they were taken, and what they moved
_PLANS = 3  # each from what the one before has left
_TOLD = 1.0  # [s] in which it is known where everything is


class Supervisor(Demonstrator):
    """Records whole attempts of a policy, each in a new scene, until the goal is reached.

    Where the policy stands still or takes too long, it takes the arms, finishes, and lets go.
    """

    def _attempt(self, number: int) -> Doing[bool]:
        """Hands to the start, a new scene, and the policy's turn. Whether that was recorded."""
        if not (yield from self._prepare()):
            return False
        if not (yield from self._press('start', lambda: self.view.recording is True)):
            return False
        self._say(f'attempt {number}, seed {self.view.seed}: the policy has its turn')
        done = yield from self._look_on()
        if not self.view.armed:
            yield from self._end_recording('discard')
            return False
        if done:
            self._say('the policy has done it')
        else:
            self._say('the policy does not get on; the operator takes over')
            done = yield from self._finish()
            self._say('the operator has done it' if done else 'that went wrong')
        yield from self._end_recording('save')
        yield from self._let_go()
        return True

    def _look_on(self) -> Doing[bool]:
        """Until the task is done, the policy stands still or takes too long. Whether it is done."""
        before, waited, still, done = self._seen(), 0.0, 0.0, 0.0
        while self.view.armed and done < _DONE_FOR and still < _STALL and waited < _LONGEST:
            waited, still = waited + self._step, still + self._step
            done = done + self._step if self.view.success else 0.0
            if not self.view.policy or np.abs(self._seen() - before).max() > _MOVED:
                before, still = self._seen(), 0.0
            yield
        return done >= _DONE_FOR

    def _finish(self) -> Doing[bool]:
        """Takes the arms and follows plans until one succeeds. Whether one does."""
        for _ in range(_PLANS):
            yield from self._move(Trajectory(self._seen()))  # takes them, and stays
            yield from self._pause(_SETTLED)
            yield from self._until(lambda: self.view.qpos is not None, _TOLD)
            if self.view.qpos is None:
                return False
            thought = self._planner.plan_on(self.view.seed, self.view.qpos)
            if (plan := (yield from self._thought(thought))) is None:
                return False
            if (yield from self._move(plan)) and (yield from self._outcome()):
                return True
        return False
