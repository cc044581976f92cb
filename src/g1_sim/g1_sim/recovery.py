"""The expert takes over from anywhere: a random policy has played for a while, then it finishes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.chunk_policy import Observation
from g1_control.safety import Mode
from g1_description import SIDES, Side
from g1_sim.expert import HELD, PLANS
from g1_sim.planner import NoWayError, Planner
from g1_sim.rollout import Rollout, chunk
from g1_sim.scene import Scene
from g1_sim.scenery import TABLE_TOP
from g1_sim.simulation import Simulation
from g1_sim.tasks import SimTask
from g1_sim.trajectory import NoMotionError, Trajectory
from g1_sim.waypoints import LostError, Waypoint, direction, hand_pose, turned

Array = NDArray[np.float64]

PLAYED = (1.0, 10.0)  # [s] for which the random policy has the robot
_REST = 0.6  # [s] after a plan before its outcome is judged
_FALL = 4.0  # [s] that it waits at most for what the random policy has set moving
_AT_REST = 0.2  # of the speed at which a task counts as done: what rocks is slow at times
_LIFTED, _TURNED = 0.8, 0.2  # [s] after fingers have closed, [rad] off how it was to be held
_LONGEST = 40.0  # [s] of one plan


@dataclass(frozen=True)
class Recovery:
    """What came of one scene.

    lost: before the expert had done anything, nobody could do the task any more, or control had
    handed the arms back. attempts: plans that were followed. duration: of the
    expert's work [s]. text: why it was given up.
    """

    seed: int
    success: bool
    lost: bool
    played: float
    attempts: int
    duration: float
    text: str = ''


class RandomPolicy:
    """Moves both hands smoothly, one random goal after the other, and knows no purpose.

    Half of the goals lie anywhere over the work; the others around the expert's own ones, so that
    things are taken, carried off, dropped and knocked over, and drawer and lid are left anyhow.
    """

    def __init__(
        self, planner: Planner, task: SimTask, scene: Scene, rng: np.random.Generator
    ) -> None:
        """scene: freshly reset."""
        self._planner, self._scene, self._rng = planner, scene, rng
        self._motion, self._begun = Trajectory(scene.posture), 0.0
        steps = next(iter(task.plan(scene)))
        self._known = [s for s in steps if isinstance(s, Waypoint) and s.pose is not None]

    def __call__(self, observation: Observation) -> Array:
        """Targets (K, 16), as a policy's."""
        if observation.stamp >= self._begun + self._motion.duration:
            present = self._motion(observation.stamp - self._begun)
            self._motion, self._begun = self._next(present), observation.stamp
        return chunk(self._motion, observation.stamp - self._begun)

    def _next(self, posture: Array) -> Trajectory:
        for _ in range(20):
            goals = [self._goal(hand) for hand in SIDES if self._rng.uniform() < 0.7]
            try:
                return self._planner.follow(goals, posture, self._scene.pelvis)
            except NoMotionError:
                continue
        return Trajectory(posture)

    def _goal(self, hand: Side) -> Waypoint:
        rng = self._rng
        known = [step for step in self._known if step.hand == hand]
        if known and rng.uniform() < 0.5:
            pose = known[rng.integers(len(known))].pose
            assert pose is not None
            pose = turned(pose, rng.uniform(-0.3, 0.3))
            pose[:3, 3] += rng.uniform((-0.03, -0.03, -0.01), (0.02, 0.03, 0.04))
        else:
            outward = 1.0 if hand == 'left' else -1.0
            place = np.array((rng.uniform(0.27, 0.44), outward * rng.uniform(-0.06, 0.24), 0.0))
            place[2] = TABLE_TOP + rng.uniform(0.07, 0.22)
            yaw = direction(hand, place) + rng.uniform(-0.4, 0.4)
            pose = hand_pose(place, np.radians(rng.uniform(15, 45)), yaw)
        return Waypoint(pose, rng.choice((0.0, 0.02, 0.04)), rng.uniform(1.2, 2.2), hand=hand)


def recover(simulation: Simulation, planner: Planner, seed: int) -> Recovery:
    """Plays in the scene of `seed` for 1 to 10 s, then lets the expert finish, anew if it fails."""
    rng = np.random.default_rng((seed, 2))
    simulation.reset(seed)
    played, scene, task = float(rng.uniform(*PLAYED)), simulation.scene, simulation.task
    limit = played + 2 * PLANS * (_LONGEST + _REST)
    rollout = Rollout(simulation, time_limit=limit, linger=limit)
    random = RandomPolicy(planner, task, scene, rng)
    _run(rollout, random, lambda: rollout.time >= played)
    _await_rest(rollout, scene)
    attempt, retreated, acted = 0, False, False

    def outcome(text: str, lost: bool = False) -> Recovery:
        success = not text
        return Recovery(seed, success, lost, played, attempt, rollout.time - played, text)

    try:
        next(iter(task.plan(scene)), None)
    except LostError as error:
        return outcome(str(error), lost=True)
    if rollout.status.mode in (Mode.ACTIVE, Mode.HOLD) and _in_touch(scene):
        _let_be(rollout, planner, scene)
        acted = True
    while attempt < PLANS:
        if rollout.status.mode not in (Mode.ACTIVE, Mode.HOLD):
            return outcome(rollout.status.text, lost=not acted)
        try:
            motion = planner.plan(task, scene)
        except NoWayError as error:
            if error.lost or retreated:
                return outcome(str(error), lost=error.lost and not acted)
            _follow(rollout, planner.retreat(scene), scene)
            retreated = acted = True
            continue
        _follow(rollout, motion, scene)
        attempt, retreated, acted = attempt + 1, False, True
        if not rollout.success and _in_touch(scene):
            _let_be(rollout, planner, scene)
        if rollout.success:
            return outcome('')
    return outcome(f'{simulation.progress()} after {PLANS} plans')


def _let_be(rollout: Rollout, planner: Planner, scene: Scene) -> None:
    """What hands touch: between fingers it is taken; from what is not, the hands draw back."""
    _follow(rollout, _grip(scene), scene)
    if _in_touch(scene):
        _follow(rollout, planner.retreat(scene), scene)


def _in_touch(scene: Scene) -> bool:
    """Whether hands touch something, and hold nothing."""
    touched = [thing for thing in scene.things if scene.held(thing)]
    return bool(touched) and not any(scene.holder(thing) for thing in touched)


def _grip(scene: Scene) -> Trajectory:
    """Fingers close, hands stay."""
    posture = scene.posture
    return Trajectory.between(posture, np.append(posture[:14], (0.0, 0.0)), 0.5)


def _await_rest(rollout: Rollout, scene: Scene) -> None:
    """Lets what falls or rolls come to rest first, unless a hand has it."""
    motion, begun = Trajectory(scene.posture, scene.velocity), rollout.time

    def at_rest() -> bool:
        moving = [thing for thing in scene.things if not scene.settled(thing, _AT_REST)]
        return rollout.time > begun + _FALL or all(scene.held(thing) for thing in moving)

    _run(rollout, lambda seen: chunk(motion, seen.stamp - begun), at_rest)


def _follow(rollout: Rollout, motion: Trajectory, scene: Scene) -> None:
    """A plan from now to its end, or to where it no longer is what is done.

    That is where control no longer lets it go on, and where something has turned in the hand that
    took it: the next plan knows how it is held.
    """
    begun = rollout.time
    end = begun + min(motion.duration, _LONGEST) + _REST
    lying = {thing: scene.pose(thing) for thing in scene.things}
    taken = [work for work in motion.works if work.closes]
    hands: dict[Side, Array] = {}

    def turned_in_hand() -> bool:
        for work in taken:
            time = rollout.time - begun - work.end
            if 0.0 <= time < _LIFTED:
                hands.setdefault(work.hand, scene.hand(work.hand))
            held = [thing for thing in scene.things if scene.holder(thing) == work.hand]
            if _LIFTED <= time < 2 * _LIFTED and work.hand in hands and held:
                axis = scene.hand(work.hand)[:3, :3] @ hands[work.hand][:3, :3].T
                cosine = (axis @ lying[held[0]][:3, 2]) @ scene.axis(held[0])
                if cosine < np.cos(_TURNED) and scene.lifted(held[0]):
                    return True
        return False

    def ended() -> bool:
        held_for = min(rollout.held_for, rollout.time - begun)
        return rollout.time >= end or held_for > HELD or turned_in_hand()

    _run(rollout, lambda seen: chunk(motion, seen.stamp - begun), ended)


def _run(
    rollout: Rollout, policy: Callable[[Observation], Array], ended: Callable[[], bool]
) -> None:
    while not rollout.done and not ended():
        rollout.step(policy(rollout.observation))
