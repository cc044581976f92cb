"""A person who looks on while a policy works, and takes over where it gets stuck."""

from collections.abc import Iterator

import numpy as np
import pytest
from demonstrator_world import ROBOT, STEP, World

from g1_sim.simulation import Simulation
from g1_sim.supervisor import Supervisor


class PolicyWorld(World):
    """Let go, a policy has the arms after `waits` s, moves for `works` s; then it may be done."""

    waits, works, does_it = 5.0, 2.0, True

    def step(self) -> None:
        super().step()
        gripped = self.inputs[-1].right.grip > 0.5
        if self.view.recording and not gripped:
            self.view.success = False
            self.busy = getattr(self, 'busy', -self.waits) + STEP
            self.view.policy = self.busy > 0.0
            if 0.0 < self.busy < self.works:
                self.view.measured = self.view.measured + 0.3 * STEP * np.eye(16)[3]
            elif self.view.policy:
                self.view.success = self.does_it
        elif gripped and self.view.recording:
            self.view.success = self.outcome


@pytest.fixture
def world() -> Iterator[PolicyWorld]:
    world = PolicyWorld(kind=Supervisor)
    world.view.goal = 1
    yield world
    world.person.close()


def grips_while_recording(world: PolicyWorld) -> int:
    first = next(k for k, given in enumerate(world.inputs) if 'A' in given.buttons)
    last = next(k for k, given in enumerate(world.inputs) if 'B' in given.buttons)
    gripped = [given.right.grip > 0.5 for given in world.inputs[first:last]]
    return int(np.diff(gripped, prepend=False).sum() + 1) // 2


def test_what_the_policy_does_alone_is_recorded_and_left_alone(world: PolicyWorld) -> None:
    world.run(lambda: world.view.saved == 1)
    assert grips_while_recording(world) == 0
    assert world.events == ['control/arm', 'A', 'B']


def test_a_policy_that_stands_still_is_helped_from_where_everything_is(world: PolicyWorld) -> None:
    world.does_it = False
    simulation = Simulation('pick_and_place', world.view.seed)
    world.view.qpos = simulation.data.qpos.copy()
    world.run(lambda: world.view.saved == 1)
    assert grips_while_recording(world) >= 1
    assert world.events == ['control/arm', 'A', 'B']
    trigger = max(given.right.trigger for given in world.inputs)
    assert trigger > 0.6  # it has taken the object
    away = np.abs(np.array(world.poses) - ROBOT.home)[:, :14].max()
    assert away > 0.3


def test_one_that_nobody_can_help_is_recorded_too(world: PolicyWorld) -> None:
    world.does_it = False  # and nobody says where things are
    world.run(lambda: world.view.saved == 1)
    assert world.events == ['control/arm', 'A', 'B']
