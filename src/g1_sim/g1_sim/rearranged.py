"""Demonstrations in which everything is elsewhere in every frame: moments, not films.

A demonstration is followed once, without pictures. Then each of its frames is drawn as often as
wanted, everything elsewhere, see `course`: no two pictures are of one scene.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from g1_data import DatasetWriter, Extra
from g1_data.schema import CHUNK_KEY, KEYFRAME_KEY
from g1_description import Embodiment
from g1_sim.course import Course
from g1_sim.expert import Demonstration, Expert, outcome
from g1_sim.planner import NoWayError, Planner
from g1_sim.rollout import CHUNK_STEPS
from g1_sim.simulation import Simulation


def with_chunks(robot: Embodiment) -> dict[str, Extra]:
    """What a dataset of moments holds beside state and action; see `g1_data.schema.CHUNK_KEY`."""
    steps = tuple(f'{name} {step}' for step in range(CHUNK_STEPS) for name in robot.action_names)
    return {CHUNK_KEY: Extra(steps), KEYFRAME_KEY: Extra(robot.state_names)}


def demonstrate_rearranged(
    simulation: Simulation, planner: Planner, seed: int, writer: DatasetWriter, pictures: int
) -> Demonstration:
    """As `expert.demonstrate`; of a success, `pictures` of every frame become an episode.

    Each has light, colours and sentence of a scene of its own. `writer`: of a dataset whose frames
    come with their chunks and keyframes, see `g1_data.schema.CHUNK_KEY`.
    """
    simulation.reset(seed)
    rng = np.random.default_rng((seed, 3))
    try:
        expert = Expert.from_reset(simulation, planner, np.random.default_rng((seed, 1)))
    except NoWayError as error:
        return Demonstration(seed, False, 0.0, str(error))
    course = Course(simulation, planner, expert)
    told = outcome(seed, course.rollout, simulation.progress())
    if not told.success:
        return told
    fast = simulation.model.body_pos.copy(), simulation.model.body_quat.copy()
    with writer.episode(simulation.instruction) as episode:
        for frame in np.repeat(range(len(course)), pictures).tolist():
            if (moment := course.moment(frame, rng)) is None:
                continue
            simulation.recall(int(rng.integers(2**31)), moment.qpos)
            simulation.model.body_pos[:], simulation.model.body_quat[:] = fast
            simulation.scene.posture = moment.state
            simulation.show(simulation.data.qpos.copy())
            images = {
                camera: simulation.render(camera, *video.shape[::-1])
                for camera, video in writer.schema.videos.items()
            }
            extras = {CHUNK_KEY: moment.targets.ravel(), KEYFRAME_KEY: moment.keyframe}
            episode.add(moment.state, moment.targets[0], images, extras, simulation.instruction)
        if not len(episode):
            episode.discard()
            return replace(told, success=False, text='the arms can follow no other arrangement')
    return told
