"""RoboCasa-GR1 is attempted as the authors of DiT4DiT attempt it; without its simulator."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from dit4dit_benchmarks.robocasa_gr1 import protocol, simulation
from dit4dit_benchmarks.robocasa_gr1.environment import RobocasaEnvironment, make
from dit4dit_benchmarks.robocasa_gr1.simulation import RobocasaSimulation
from dit4dit_policy.inference.processor import Processor, encoded_for, seen_by
from dit4dit_policy.model.presets import preset
from g1_description import load_embodiment


class Gym:
    """An environment with the spaces of the simulator's own; in success after certain steps."""

    def __init__(self, asked, good):
        self.asked, self._good, self._steps = asked, good, 0
        self.unwrapped = SimpleNamespace(env=SimpleNamespace(rng=None))

    def reset(self, seed):
        drawn = self.unwrapped.env.rng.integers(1000)
        self.asked.append(('reset', seed, drawn))
        self._steps = 0
        return self._observation(), {'success': False}

    def step(self, action):
        self.asked.append(('step', action))
        self._steps += 1
        return self._observation(), 0.0, False, False, {'success': self._steps in self._good}

    def close(self):
        self.asked.append(('close',))

    def _observation(self):
        # As they come: not in the embodiment's order, with pictures of other kinds beside.
        return {
            'state.right_hand': np.full(6, 0.4, np.float32),
            'state.left_hand': np.full(6, 0.3, np.float32),
            'state.right_arm': np.full(7, 0.2, np.float32),
            'state.left_arm': np.full(7, 0.1, np.float32),
            'state.waist': np.full(3, 0.5, np.float32),
            'video.ego_view_pad_res256_freq20': np.zeros((256, 256, 3), np.uint8),
            'video.ego_view_bg_crop_pad_res256_freq20': np.full((256, 256, 3), 9, np.uint8),
            'annotation.human.coarse_action': 'unlocked_waist: pick the milk',
        }


class InProcess:
    """In place of the simulator's process."""

    def __init__(self, good=()):
        self.asked = []
        self.simulation = RobocasaSimulation(self._make)
        self._good = good

    def _make(self, name):
        self.asked.append(('make', name))
        return Gym(self.asked, self._good)

    def call(self, name, **arguments):
        return getattr(self.simulation, name)(**arguments)

    def close(self):
        pass


def chunk():
    return np.arange(29) + np.arange(16)[:, None] * 100.0


def test_an_observation_has_29_numbers_in_five_groups_and_the_prefix_of_the_prompt():
    process = InProcess()
    env = RobocasaEnvironment(('ego_view',), lambda: process)
    seen = env.reset('PnPCanToDrawerClose', 3)
    assert process.asked[0] == (
        'make',
        'gr1_unified/PnPCanToDrawerClose_GR1ArmsAndWaistFourierHands_Env',
    )
    np.testing.assert_allclose(
        seen.state, np.repeat([0.1, 0.2, 0.3, 0.4, 0.5], [7, 7, 6, 6, 3]), atol=1e-7
    )
    assert seen.instruction == 'unlocked_waist: pick the milk'
    assert seen.images['ego_view'].shape == (256, 256, 3) and seen.images['ego_view'].min() == 9


def test_a_seed_is_a_scene():
    process = InProcess()
    env = RobocasaEnvironment((), lambda: process)
    for seed in (3, 4, 3):
        env.reset('PnPCanToDrawerClose', seed)
    resets = [call[1:] for call in process.asked if call[0] == 'reset']
    assert resets[0] == resets[2] != resets[1]
    assert len(process.asked) == 1 + 3  # made once


def test_twelve_actions_of_a_chunk_are_carried_out_by_group():
    process = InProcess()
    env = RobocasaEnvironment((), lambda: process)
    env.reset('PnPCanToDrawerClose', 0)
    process.asked.clear()
    step = env.step(chunk())
    assert len(process.asked) == 12
    action = process.asked[11][1]
    assert {name: len(values) for name, values in action.items()} == {
        'action.left_arm': 7, 'action.right_arm': 7, 'action.left_hand': 6,
        'action.right_hand': 6, 'action.waist': 3,
    }  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(list(action.values())), chunk()[11])
    assert (step.done, step.success, step.time) == (False, False, pytest.approx(0.6))


@pytest.mark.parametrize(
    ('good', 'success', 'steps'), [((), False, 720), ((5, 23, 25), False, 720), ((36,), True, 36)]
)
def test_success_is_a_chunk_that_ends_in_it_within_720_steps(good, success, steps):
    process = InProcess(good)
    env = RobocasaEnvironment((), lambda: process)
    env.reset('PnPCanToDrawerClose', 0)
    while not (step := env.step(chunk())).done:
        pass
    assert (step.success, step.time) == (success, pytest.approx(steps / 20))
    with pytest.raises(ValueError, match='call reset first'):
        env.step(chunk())


def test_the_model_is_given_sines_then_cosines_of_each_group():
    config, robot = preset('released'), load_embodiment('gr1')
    processor = Processor(
        embodiment=encoded_for(config, seen_by(robot, robot.model_cameras)),
        state_lower=(-1.0,) * 29,
        state_upper=(1.0,) * 29,
        action_lower=(-2.0,) * 29,
        action_upper=(2.0,) * 29,
        image=config.backbone.image,
        state_dim=config.action.state_dim,
        action_dim=config.action.action_dim,
        tasks={},
    )
    state = np.arange(29) / 29
    encoded = processor.encode_state(state).numpy()
    expected, start = [], 0
    for count in protocol.GROUPS.values():
        part = state[start : start + count]
        expected += [np.sin(part), np.cos(part)]
        start += count
    assert encoded.shape == (64,)
    np.testing.assert_allclose(encoded, [*np.concatenate(expected), *[0.0] * 6], atol=1e-6)
    assert (config.action.horizon, config.action.action_dim) == (16, 32)
    assert {name: s.stop - s.start for name, s in robot.state_slices().items()} == protocol.GROUPS


def test_there_are_24_tasks_and_what_is_missing_is_said(monkeypatch, tmp_path):
    env = RobocasaEnvironment((), InProcess)
    assert len(env.tasks) == len(set(env.tasks)) == 24
    with pytest.raises(ValueError, match="expected a task as PnPCanToDrawerClose, got 'dance'"):
        env.reset('dance', 0)
    monkeypatch.setenv('DIT4DIT_ROBOCASA', str(tmp_path))
    with pytest.raises(ValueError, match=r'robocasa is not installed: .*`make robocasa`'):
        make((), 0.0)


@pytest.mark.parametrize(
    ('error', 'text'),
    [
        (FileNotFoundError('Object registry objaverse'), r'objaverse\. .*download_tabletop_assets'),
        (ValueError("opening 'a.obj': No such file"), r"'a\.obj'.*download_tabletop_assets"),
        (ValueError('a task of another kind'), '^a task of another kind$'),
    ],
)
def test_assets_that_are_missing_are_said_with_how_to_get_them(monkeypatch, error, text):
    def fail(*_, **__):
        raise error

    monkeypatch.setitem(sys.modules, 'gymnasium', SimpleNamespace(make=fail))
    for module in ('robocasa_gr1', 'robocasa_gr1.utils', 'robocasa_gr1.utils.gym_utils'):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    with pytest.raises(ValueError, match=text):
        simulation.make('gr1_unified/any')
