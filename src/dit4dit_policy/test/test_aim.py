"""A chunk that is moved to where the policy tells that its hands are going."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_models as toy
from numpy.typing import NDArray

from dit4dit_policy.inference.aim import Aim
from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.dit4dit import DiT4DiT
from g1_description import load_embodiment

ROBOT = load_embodiment('g1_aloha')
HOME = ROBOT.home(ROBOT.action_names)
RIGHT = slice(7, 14)

Array = NDArray[np.float64]


def reaching() -> Array:
    """A chunk (16, 16) in which the left forearm sweeps over the table."""
    targets = np.tile(HOME, (16, 1))
    targets[:, ROBOT.action_names.index('left_shoulder_yaw_joint')] += np.linspace(0, 0.8, 16)
    return targets


def aimed(offset: tuple[float, float, float], step: int = 8) -> tuple[Array, Array, Array]:
    """The chunk, moved, and both paths (16, 2, 3), where the left hand is told beside a step's."""
    targets = reaching()
    before = ROBOT.hand_positions(targets)
    told = before[step] + np.array((offset, (0.0, 0.3, 0.0)))
    moved = Aim(ROBOT)(targets, HOME, told)
    return moved, before, ROBOT.hand_positions(moved)


def test_the_hand_goes_through_the_place_that_is_told_at_its_height() -> None:
    moved, before, after = aimed((0.003, 0.012, 0.0))
    told = before[8] + (0.003, 0.012, 0.0)
    beside = np.linalg.norm(after[:, 0, :2] - told[0, :2], axis=1)
    assert beside.min() < 1e-3
    assert np.abs(after[:, 0, 2] - before[:, 0, 2]).max() < 1e-3
    np.testing.assert_array_equal(moved[:, RIGHT], reaching()[:, RIGHT])
    np.testing.assert_array_equal(moved[:, 14:], reaching()[:, 14:])


def test_what_lies_far_before_or_after_is_hardly_moved() -> None:
    _, before, after = aimed((0.0, 0.012, 0.0), step=15)
    change = np.linalg.norm(after[:, 0] - before[:, 0], axis=1)
    assert change[15] > 0.01 and change[0] < 0.2 * change[15]


@pytest.mark.parametrize('offset', [(0.06, 0.0, 0.0), (0.0, 0.01, 0.2)])
def test_a_hand_that_does_not_come_near_is_left_alone(offset: tuple[float, float, float]) -> None:
    moved, *_ = aimed(offset)
    np.testing.assert_array_equal(moved, reaching())


def _one_hand(names: tuple[str, ...], states: Array) -> Array:
    return states[:, None, :3].copy()


def test_a_policy_that_tells_hands_aims_its_chunks_alone_and_in_a_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = toy.tiny()
    config = replace(config, action=replace(config.action, keyframe_weight=1.0, keyframe_hands=1))
    checkpoint.save(DiT4DiT(config), tmp_path, {'trained': True})
    toy.processor(config).save(tmp_path / 'processor.json')
    robot = replace(toy.embodiment(), hands=f'{__name__}:_one_hand')
    aims, does_not = DiT4DiTPolicy.load(tmp_path, robot), DiT4DiTPolicy.load(tmp_path)
    seen = Observation({'head': np.zeros((48, 64, 3), np.uint8)}, HOME, 'Do it.')
    plain = does_not.infer(seen)
    told = does_not._path.keyframe
    assert told is not None
    place = 0.1 * told[0, config.action.state_dim :].numpy().reshape(1, 3)
    expected = Aim(robot)(plain, HOME, place)
    np.testing.assert_allclose(aims.infer(seen), expected, atol=1e-6)
    np.testing.assert_allclose(aims.infer_batch([seen])[0], expected, atol=1e-4)
