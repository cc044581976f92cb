"""LIBERO is attempted as the authors of DiT4DiT attempt it; without its simulator."""

from types import SimpleNamespace

import numpy as np
import pytest

from dit4dit_benchmarks.libero import protocol
from dit4dit_benchmarks.libero.environment import LiberoEnvironment, make
from dit4dit_benchmarks.libero.simulation import LiberoSimulation
from dit4dit_policy.evaluation.environment import Conduct

WAIT = [0.0] * 6 + [-1.0]


class Recorder:
    """A simulator of LIBERO's interface that keeps what it is asked; done after so many steps."""

    def __init__(self, asked, done_after):
        self.asked, self._done_after, self._steps = asked, done_after, 0
        self.sim = None

    def seed(self, seed):
        self.asked.append(('seed', seed))

    def reset(self):
        self.asked.append(('reset',))
        self.sim = SimpleNamespace(render=self._render)

    def set_init_state(self, state):
        self.asked.append(('init', state))
        self._steps = 0
        return self._observation()

    def step(self, action):
        self.asked.append(('step', action))
        self._steps += 1
        done = self._steps >= self._done_after
        return self._observation(), float(done), done, {}

    def close(self):
        self.asked.append(('close',))

    def _observation(self):
        views = {
            'agentview_image': 'agentview',
            'robot0_eye_in_hand_image': 'robot0_eye_in_hand',
        }
        return {
            key: self.sim.render(camera_name=name, width=256, height=256)
            for key, name in views.items()
        } | {
            'robot0_eef_pos': np.array([0.1, 0.2, 0.3]),
            'robot0_eef_quat': np.array([0.0, np.sin(0.4), 0.0, np.cos(0.4)]),
            'robot0_gripper_qpos': np.array([0.04, -0.04]),
        }

    def _render(self, camera_name, width, height):
        """The number of the step in the upper left corner, and the camera in the lower right."""
        self.asked.append(('render', camera_name))
        image = np.zeros((height, width, 3), np.uint8)
        image[0, 0] = self._steps % 256
        image[-1, -1] = len(camera_name)
        return image


class RecordingBenchmark:
    """Tasks whose n-th initial state is the number n."""

    def __init__(self, done_after=10_000):
        self.asked, self._done_after = [], done_after

    def make(self, suite, task):
        self.asked.append(('make', suite, task))
        return Recorder(self.asked, self._done_after)

    def skip(self, env):
        self.asked.append(('skip',))

    def instruction(self, suite, task):
        return f'do {task} of {suite}'

    def init_states(self, suite, task):
        return list(range(50))

    def all_but_renders(self):
        return [call for call in self.asked if call[0] != 'render']


class InProcess:
    """In place of the simulator's process."""

    def __init__(self, benchmark):
        self._simulation = LiberoSimulation(benchmark)

    def call(self, name, **arguments):
        return getattr(self._simulation, name)(**arguments)

    def close(self):
        pass


def environment(benchmark, cameras=('agentview', 'wrist')):
    return LiberoEnvironment(cameras, lambda: InProcess(benchmark))


def chunk(gripper=1.0):
    return np.concatenate([np.full((8, 6), 0.25), np.full((8, 1), gripper)], axis=1)


def test_an_attempt_begins_as_the_authors_begin_it():
    benchmark = RecordingBenchmark()
    env = environment(benchmark)
    seen = env.reset('libero_spatial-3', 0)
    assert benchmark.all_but_renders() == [
        ('make', 'libero_spatial', 3),
        ('seed', 7),
        ('reset',),
        ('init', 0),
        *[('step', WAIT)] * 10,
    ]
    assert (seen.instruction, seen.stamp) == ('do 3 of libero_spatial', 0.0)
    np.testing.assert_allclose(seen.state, [0.1, 0.2, 0.3, 0.0, 0.8, 0.0, 0.04, -0.04])
    image = seen.images['agentview']
    assert image.shape == (256, 256, 3) and image.flags.c_contiguous
    # turned by 180 degrees, and taken after the wait
    assert image[-1, -1, 0] == 10 and image[0, 0, 0] == len('agentview')
    assert seen.images['wrist'][0, 0, 0] == len('robot0_eye_in_hand')


def test_attempt_k_comes_after_as_many_draws_of_one_seed_as_fixtures_move_at_each():
    benchmark = RecordingBenchmark()
    env = environment(benchmark)
    env.reset('libero_goal-1', 2)
    env.reset('libero_goal-1', 3)
    env.reset('libero_goal-1', 1)
    calls = [call for call in benchmark.all_but_renders() if call[0] != 'step']
    begun = [('make', 'libero_goal', 1), ('seed', 7)]
    skip, reset = ('skip',), ('reset',)
    assert calls == [
        *begun, skip, skip, reset, ('init', 2), reset, ('init', 3),
        ('close',), *begun, skip, reset, ('init', 1),
    ]  # fmt: skip


def test_a_chunk_is_carried_out_whole_and_the_gripper_turned_round():
    benchmark = RecordingBenchmark()
    env = environment(benchmark)
    env.reset('libero_object-0', 0)
    benchmark.asked.clear()
    step = env.step(chunk(gripper=1.0))
    assert benchmark.all_but_renders() == [('step', [0.25] * 6 + [-1.0])] * 8
    assert (step.done, step.success, step.time) == (False, False, 0.4)
    assert step.observation.stamp == 0.4
    assert step.observation.images['wrist'][-1, -1, 0] == 18  # of the last step
    benchmark.asked.clear()
    env.step(chunk(gripper=0.0))
    assert benchmark.all_but_renders() == [('step', [0.25] * 6 + [1.0])] * 8
    assert len(benchmark.asked) == 8 + 2  # only what an observation shows is rendered


@pytest.mark.parametrize(
    ('task', 'steps'),
    [
        ('libero_spatial-9', 220),
        ('libero_object-9', 280),
        ('libero_goal-9', 300),
        ('libero_10-9', 520),
        ('libero_90-89', 400),
    ],
)
def test_an_attempt_that_does_not_succeed_ends_at_the_suites_horizon(task, steps):
    benchmark = RecordingBenchmark()
    env = environment(benchmark)
    env.reset(task, 0)
    benchmark.asked.clear()
    while not (step := env.step(chunk())).done:
        pass
    assert [call[0] for call in benchmark.all_but_renders()].count('step') == steps
    assert (step.success, step.stage) == (False, 'not done')
    assert step.time == pytest.approx(steps / 20)


def test_success_is_the_simulators_done_in_any_step_and_ends_the_attempt():
    benchmark = RecordingBenchmark(done_after=10 + 13)
    env = environment(benchmark)
    env.reset('libero_goal-0', 0)
    assert not env.step(chunk()).done
    step = env.step(chunk())
    assert (step.done, step.success, step.stage) == (True, True, 'done')
    assert step.time == pytest.approx(13 / 20)
    with pytest.raises(ValueError, match='call reset first'):
        env.step(chunk())


def test_what_is_done_during_the_wait_ends_nothing():
    env = environment(RecordingBenchmark(done_after=3))
    env.reset('libero_goal-0', 0)
    assert env.step(chunk()).success  # in its first step


def test_there_are_130_tasks_of_five_suites():
    env = environment(RecordingBenchmark())
    assert len(env.tasks) == len(set(env.tasks)) == 130
    assert env.tasks[:2] == ('libero_spatial-0', 'libero_spatial-1')
    assert env.conduct == Conduct(first_seed=0, latency=0.0, served=True, scenes=50)
    for task, seed, text in [
        ('libero_spatial-10', 0, 'expected a task as libero_spatial-0'),
        ('libero_goal-0', 50, 'expected a seed from 0 to 49, got 50'),
    ]:
        with pytest.raises(ValueError, match=text):
            env.reset(task, seed)


@pytest.mark.parametrize('variant', ['mirrored_images', 'swapped_cameras', 'inverted_gripper'])
def test_variants_are_the_mistakes_of_an_adapter(variant):
    benchmark = RecordingBenchmark()
    env = environment(benchmark)
    assert variant in env.variants
    images = env.reset('libero_goal-0', 0, variant).images
    right = {'agentview': len('agentview'), 'wrist': len('robot0_eye_in_hand')}
    corner = {name: image[0, 0, 0] for name, image in images.items()}
    if variant == 'mirrored_images':
        assert {name: image[0, -1, 0] for name, image in images.items()} == right
    elif variant == 'swapped_cameras':
        assert corner == dict(zip(right, reversed(right.values()), strict=True))
    else:
        assert corner == right
    benchmark.asked.clear()
    env.step(chunk(gripper=1.0))
    gripper = 1.0 if variant == 'inverted_gripper' else -1.0
    assert benchmark.all_but_renders() == [('step', [0.25] * 6 + [gripper])] * 8


def test_no_rotation_has_no_axis_and_a_negative_w_is_a_long_way_round():
    np.testing.assert_array_equal(protocol.axis_angle(np.array([0.0, 0.0, 0.0, 1.0])), np.zeros(3))
    np.testing.assert_array_equal(protocol.axis_angle(np.array([0.0, 0.0, 0.0, 1.1])), np.zeros(3))
    long = protocol.axis_angle(np.array([np.sin(2.0), 0.0, 0.0, np.cos(2.0)]))
    np.testing.assert_allclose(long, [4.0, 0.0, 0.0])


def test_without_the_simulator_it_is_said_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv('DIT4DIT_LIBERO', str(tmp_path))
    with pytest.raises(ValueError, match=r'libero is not installed: .*`make libero`'):
        make((), 0.0)
    with pytest.raises(ValueError, match='LIBERO stands still while a policy infers'):
        make((), 0.1)
