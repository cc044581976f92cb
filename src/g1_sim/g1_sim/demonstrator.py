"""A person at the simulator, with a headset: what they do, one after the other. No ROS, no clock.

They know the expert's plan for every scene, but move the robot as anybody does: two controllers
held in a frame of their own, clutches, triggers and buttons; and they look where the hands are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pinocchio
from numpy.typing import NDArray

from g1_description import SIDES, Side, load_robot
from g1_description.kinematics import ArmKinematics
from g1_ros.operator import HandInput, OperatorInput
from g1_sim.planner import START_SPREAD, NoWayError, Planner
from g1_sim.simulation import Simulation
from g1_sim.trajectory import Trajectory

Array = NDArray[np.float64]
T = TypeVar('T')
Doing = Generator[None, None, T]  # lets a step pass at every yield

_DISCARDED = 2  # this attempt is discarded, to show that it can be
_RETURN = 2.0  # [s] for the way back there, or longer
_GRASP = 0.15  # [s] that a controller is held still after its grip was pressed or let go
_PRESS = 0.15  # [s] between two presses of buttons
_REACTION = 0.3  # [s] before a person sees that the hands have arrived
_STILL, _STILL_FOR = 0.01, 0.15  # [rad, m] that nothing has moved by, in this time [s]
_NEAR = 0.004  # [m] from where they should be, hands have arrived
_ABOUT = 0.02  # [m] from there, they may work
_BEHIND = 0.06  # [m] hands are waited for, from where they were shown to
_LAG = 22  # steps ago, a quarter of a second
_REGRIPS = 2  # on a way, where they do not come
_PATIENCE = 1.5  # [s] after which a hand is as near as it gets
_CORRECTION = 1.5  # [1/s] how fast a person corrects what they see
_DONE_FOR = 0.5  # [s] that the task has to stay done
_OUTCOME = 3.0  # [s] within which it has to be done after the last motion
_ANSWER = 4.0  # [s] to wait for what was asked for, before asking again

#: Where the controllers are held at first, in the room of the person.
_ORIGIN = {'left': (0.31, 0.22, 1.12), 'right': (0.29, -0.24, 1.08)}
_WRIST = {'left': (0.2, -0.5, 0.3), 'right': (-0.3, -0.4, -0.2)}  # rotation vectors
_HEAD = (0.05, 0.0, 1.58)


@dataclass
class View:
    """What the person sees; whoever shows it to them keeps it up to date.

    measured: (16,) joint positions in chunk order. scenes: how many were announced, each with its
    seed; qpos: of everything in the newest, as far as that was told. armed: control follows
    targets. policy: those of a policy. recording: an episode is open. saved, goal: episodes.
    """

    measured: Array | None = None
    seed: int = 0
    scenes: int = 0
    qpos: Array | None = None
    success: bool = False
    armed: bool = False
    policy: bool = False
    recording: bool | None = None
    saved: int = 0
    goal: int = 0


class Demonstrator:
    """Demonstrates a task over and over, each time in a new scene, until the goal is reached.

    Attributes:
        view: to be kept up to date.
    """

    def __init__(
        self,
        task: str,
        buttons: Mapping[str, str],
        ask: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        """buttons: of the actions start, save and discard. ask: calls a service by its name.

        Raises ValueError for a task that is not simulated.
        """
        self.view = View()
        self._robot, self._kinematics = load_robot(), ArmKinematics()
        self._buttons, self._ask, self._say = buttons, ask, say
        self._planner = _Planner(task)
        self._rng = np.random.default_rng(0)
        self._step = 0.0
        self._used = 0  # scene, by their count
        self._controllers: dict[str, Array] = {
            side: _pose(_ORIGIN[side], _WRIST[side]) for side in SIDES
        }
        self._triggers = dict.fromkeys(SIDES, 0.0)
        self._grip = 0.0
        self._pressed: frozenset[str] = frozenset()
        self._day = self._work()

    def step(self, seconds: float) -> None:
        """Goes on with what they are doing, at once."""
        self._step = seconds
        if self._grip and not self.view.armed:
            self._day.throw(_ArmsGoneError())
        else:
            next(self._day)

    def input(self, stamp: int) -> OperatorInput:
        """What a headset measures now."""
        return OperatorInput(
            stamp, self._hand('left'), self._hand('right'), _pose(_HEAD), self._pressed
        )

    def close(self) -> None:
        """Ends the thread that plans."""
        self._planner.close()

    def _hand(self, side: Side) -> HandInput:
        return HandInput(self._controllers[side], self._grip, self._triggers[side])

    def _work(self) -> Doing[None]:
        view = self.view
        yield from self._until(
            lambda: view.measured is not None and view.scenes > 0 and view.recording is not None
        )
        attempt = 1
        while view.saved < view.goal:
            try:
                if (yield from self._attempt(attempt)):
                    attempt += 1
            except _ArmsGoneError:
                self._say('the arms were handed back; once more')
                yield from self._let_go()
                yield from self._end_recording('discard')
        self._say(f'{view.saved} episodes are saved, that was the goal')
        while True:
            yield

    def _attempt(self, number: int) -> Doing[bool]:
        """Hands to the start, a new scene, and one demonstration of it. Whether it was recorded."""
        if not (yield from self._prepare()):
            return False
        thought = self._planner.plan(self.view.seed, self._seen())
        if (plan := (yield from self._thought(thought, '; next scene'))) is None:
            return False
        if not (yield from self._press('start', lambda: self.view.recording is True)):
            return False
        self._say(f'attempt {number}, seed {self.view.seed}')
        success = (yield from self._move(plan)) and (yield from self._outcome())
        if number == _DISCARDED:
            self._say('this one is discarded on purpose')
        elif not success:
            self._say('that went wrong; discarded')
        keep = success and number != _DISCARDED
        yield from self._end_recording('save' if keep else 'discard')
        yield from self._let_go()
        return True

    def _prepare(self) -> Doing[bool]:
        """Armed, hands at the start and let go, and a scene that is new. Whether they got there."""
        while not self.view.armed:
            self._ask('control/arm')
            yield from self._until(lambda: self.view.armed, _ANSWER)
        start = self._robot.home.copy()
        start[:14] += self._rng.uniform(-START_SPREAD, START_SPREAD, 14)
        arrived = yield from self._move(Trajectory.between(self._seen(), start, _RETURN))
        yield from self._let_go()
        if arrived and self.view.scenes == self._used:
            yield from self._new_scene()
        self._used = self.view.scenes if arrived else self._used
        return arrived

    def _thought(self, thought: Future[Trajectory], then: str = '') -> Doing[Trajectory | None]:
        """The plan, when it is made. None, and a word on why and what `then`, where none leads."""
        yield from self._until(thought.done)
        try:
            return thought.result()
        except NoWayError as error:
            self._say(f'seed {self.view.seed}: {error}{then}')
            return None

    def _new_scene(self) -> Doing[None]:
        before = self.view.scenes
        while self.view.scenes == before:
            self._ask('sim/reset')
            yield from self._until(lambda: self.view.scenes > before, _ANSWER)

    def _end_recording(self, action: str) -> Doing[None]:
        while self.view.recording:
            yield from self._press(action, lambda: not self.view.recording)

    def _outcome(self) -> Doing[bool]:
        """Waits until the task is done for good, or cannot be any more. Whether it is."""
        waited = done = 0.0
        while done < _DONE_FOR and waited < _OUTCOME:
            waited += self._step
            done = done + self._step if self.view.success else 0.0
            yield
        return done >= _DONE_FOR

    def _move(self, motion: Trajectory, regrips: int = _REGRIPS) -> Doing[bool]:
        """Takes both hands along `motion`, no faster than they come along.

        It waits where they have to come to rest; where they do not come at all, grips are pressed
        anew. Whether they got there in the end.
        """
        self._guide = _Guide(self._controllers, self._kinematics.forward(motion(0.0)[:14]))
        self._grip = 1.0
        self._place(motion(0.0))
        yield from self._pause(_GRASP)
        time = waited = 0.0
        shown = deque([motion(0.0)], _LAG)
        for stop in motion.stops:
            while time < stop:
                if self._distance(shown[0]) < _BEHIND:
                    time, waited = min(time + self._step, stop), 0.0
                else:
                    waited += self._step
                shown.append(motion(time))
                self._place(shown[-1])
                yield
                along = waited < _PATIENCE
                if time == stop:
                    along = yield from self._arrive(motion(stop))
                if not along:
                    if not regrips or not (yield from self._regrip(motion(time), regrips - 1)):
                        return False
                    regrips, waited = regrips - 1, 0.0
                    shown = deque([motion(time)], _LAG)
        return True

    def _regrip(self, wanted: Array, regrips: int) -> Doing[bool]:
        self._say('the hands do not come along; grips pressed anew')
        yield from self._let_go()
        start = np.append(self._seen()[:14], wanted[14:])
        return (yield from self._move(Trajectory.between(start, wanted, _RETURN), regrips))

    def _arrive(self, wanted: Array) -> Doing[bool]:
        """Waits until the hands are near `wanted` (16,) and still, moving on by what is missing.

        Whether they are about there in the end.
        """
        before, since, waited = self._seen(), 0.0, 0.0
        while waited < _PATIENCE:
            waited, since = waited + self._step, since + self._step
            measured = self._seen()
            if np.abs(measured - before).max() > _STILL:
                before, since = measured, 0.0
            if waited > _REACTION and since > _STILL_FOR and self._distance(wanted) < _NEAR:
                break
            self._guide.correct(self._off(wanted), _CORRECTION * self._step)
            self._place(wanted)
            yield
        return self._distance(wanted) < _ABOUT

    def _off(self, wanted: Array) -> dict[str, Array]:
        """From where each hand is seen to where it is at `wanted` (16,): (3,) [m]."""
        hands, seen = (self._kinematics.forward(q[:14]) for q in (wanted, self._seen()))
        return {side: hands[side][:3, 3] - seen[side][:3, 3] for side in SIDES}

    def _distance(self, wanted: Array) -> float:
        """Of the hand that is further off `wanted` [m]."""
        return max(float(np.linalg.norm(off)) for off in self._off(wanted).values())

    def _let_go(self) -> Doing[None]:
        self._grip = 0.0
        yield from self._pause(_GRASP)

    def _place(self, wanted: Array) -> None:
        """Controllers and triggers where they bring the robot to `wanted` (16,)."""
        self._controllers = self._guide.controllers(self._kinematics.forward(wanted[:14]))
        openings = np.clip(wanted[14:] / self._robot.gripper_stroke, 0.0, 1.0)
        self._triggers = dict(zip(SIDES, (1.0 - openings).tolist(), strict=True))

    def _press(self, action: str, happened: Callable[[], bool]) -> Doing[bool]:
        """Holds a button until what it is for has happened, or does not; says whether."""
        self._pressed = frozenset({self._buttons[action]})
        yield from self._until(happened, _ANSWER)
        self._pressed = frozenset()
        yield from self._pause(_PRESS)
        return happened()

    def _pause(self, seconds: float) -> Doing[None]:
        yield from self._until(lambda: False, seconds)

    def _until(self, happened: Callable[[], bool], seconds: float = np.inf) -> Doing[None]:
        waited = 0.0
        while not happened() and waited < seconds:
            waited += self._step
            yield

    def _seen(self) -> Array:
        assert self.view.measured is not None
        return self.view.measured


class _ArmsGoneError(Exception):
    """Control no longer follows."""


class _Guide:
    """From where the robot's hands should be to controllers, by the motion since both grips closed.

    controllers, hands: pose (4, 4) of each at that moment, each in its own frame.
    """

    def __init__(self, controllers: Mapping[str, Array], hands: Mapping[str, Array]) -> None:
        self._start = {side: (controllers[side], hands[side]) for side in SIDES}
        self._correction = {side: np.zeros(3) for side in SIDES}

    def correct(self, off: Mapping[str, Array], share: float) -> None:
        """Moves on by a share of what the hands are `off` (3,) [m]."""
        for side in SIDES:
            self._correction[side] = self._correction[side] + share * off[side]

    def controllers(self, hands: Mapping[str, Array]) -> dict[str, Array]:
        """Poses of the controllers that bring the hands to `hands`."""
        return {side: self._controller(side, hands[side]) for side in SIDES}

    def _controller(self, side: Side, hand: Array) -> Array:
        controller, start = self._start[side]
        pose = np.eye(4)
        pose[:3, :3] = hand[:3, :3] @ start[:3, :3].T @ controller[:3, :3]
        pose[:3, 3] = controller[:3, 3] + hand[:3, 3] - start[:3, 3] + self._correction[side]
        return pose


class _Planner:
    """Thinks on a thread of its own: the expert's plan for a scene, a second's work."""

    def __init__(self, task: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix='planner')
        self._made: Future[tuple[Simulation, Planner]] = self._thread.submit(
            lambda: (Simulation(task, 0), Planner())
        )

    def plan(self, seed: int, start: Array) -> Future[Trajectory]:
        """From `start` (16,) through the scene of `seed`. The result raises NoWayError."""
        return self._thread.submit(self._plan, seed, start)

    def plan_on(self, seed: int, qpos: Array) -> Future[Trajectory]:
        """From where everything is in the scene of `seed`. The result raises NoWayError."""
        return self._thread.submit(self._plan_on, seed, qpos)

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _plan(self, seed: int, start: Array) -> Trajectory:
        simulation, planner = self._made.result()
        simulation.reset(seed)
        return planner.plan(simulation.task, simulation.scene, start)

    def _plan_on(self, seed: int, qpos: Array) -> Trajectory:
        simulation, planner = self._made.result()
        simulation.recall(seed, qpos)
        return planner.plan(simulation.task, simulation.scene)


def _pose(position: tuple[float, ...], turn: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Array:
    pose = np.eye(4)
    pose[:3, :3] = pinocchio.exp3(np.array(turn))
    pose[:3, 3] = position
    return pose
