"""`dit4dit correct`: a policy drives until an expert takes over; what the expert shows is kept."""

import json

import numpy as np
import pytest

from dit4dit_policy.cli import main
from dit4dit_policy.evaluation.environment import Step, TeacherLostError
from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.training.demonstrations import Demonstrations
from g1_data import Dataset
from g1_description import Camera, Embodiment, Group
from g1_description.control_source import CONTROL_KEY

TOY = Embodiment(
    name='toy',
    robot_type='toy',
    rate=10.0,
    groups=(Group('arm', ('a',), ('a',)),),
    cameras={'front': Camera('front', 'front', 320, 240)},
)


class ToyEnvironment:
    """'a' has to come above 1; in 'lift' nobody can help, in 'wave' the policy needs no help."""

    embodiment = TOY
    tasks: tuple[str, ...] = ('reach', 'lift', 'wave')
    variants = ()

    def __init__(self, cameras, latency):
        self._cameras = cameras
        self._observer = None

    def watch(self, observer, size):
        self._observer, self._size = observer, size

    def expert(self):
        if self._task == 'lift':
            raise TeacherLostError('it is too heavy')
        return ToyTeacher(self._time, self._a)

    def mistaken(self, rng):
        return Sinking(self._a)

    def reset(self, task, seed, variant=''):
        self._task, self._time, self._a = task, 0.0, 2.0 if task == 'wave' else 0.0
        return self._seen()

    def step(self, chunk):
        for k in (1, 2):
            self._time += 0.1
            self._a = max(self._a, float(chunk[k, 0]))
            seen = self._seen()
        done = self._a > 1.0
        return Step(seen, done, done, self._time, 'done' if done else 'low')

    def close(self):
        pass

    def _seen(self):
        images = {name: np.zeros((*self._size, 3), np.uint8) for name in self._cameras}
        seen = Observation(images, np.array([self._a]), 'Reach.', self._time)
        self._observer(seen)
        return seen


class ToyTeacher:
    """Raises 'a' by 1 a second."""

    end = np.inf

    def __init__(self, begun, a):
        self._begun, self._a = begun, a

    def target(self, stamp):
        return np.array([self._a + stamp - self._begun])

    def __call__(self, observation):
        return np.stack([self.target(observation.stamp + k * 0.1) for k in range(4)])


class Sinking(ToyTeacher):
    """Lowers it for two seconds."""

    end = 2.0

    def __init__(self, a):
        super().__init__(0.0, a)

    def target(self, stamp):
        return np.array([self._a - stamp])


class StillPolicy:
    """Never moves."""

    embodiment = TOY
    cameras = ('front',)
    step = 0.1
    horizon = 4
    model_id = 'still'
    trained = True

    def __init__(self, checkpoint, embodiment):
        pass

    def infer(self, observation, prefix=None):
        return np.zeros((4, 1))


class Catching(ToyEnvironment):
    """After a while nobody can help any more."""

    tasks = ('catch',)

    def expert(self):
        if self._time > 1.9:
            raise TeacherLostError('it has fallen')
        return super().expert()


class BareEnvironment(ToyEnvironment):
    watch = expert = property()


TOYS = ['--policy', f'{__name__}:StillPolicy', '--episodes', '2', '--workers', '1']


def test_a_scene_that_is_lost_is_driven_again_and_taken_over_earlier(tmp_path):
    words = ['correct', '--env', f'{__name__}:Catching', '--task', 'catch', *TOYS[:2]]
    out = tmp_path / 'out'
    assert main([*words, '--episodes', '10', '--workers', '1', '--out', str(out)]) == 0
    found = [json.loads(line) for line in (out / 'attempts.jsonl').open()]
    corrected = [line['taken_over'] for line in found if line['outcome'] == 'corrected']
    assert len(corrected) >= 7 and max(corrected) <= 1.9  # driven once, hardly any would be
    assert len(Dataset(out / 'catch').episodes) == len(corrected)


def test_the_expert_takes_over_and_only_what_it_does_is_taught(tmp_path):
    words = ['correct', '--env', f'{__name__}:ToyEnvironment', '--task', 'all', *TOYS]
    assert main([*words, '--out', str(tmp_path / 'out')]) == 0
    outcomes = [json.loads(line) for line in (tmp_path / 'out/attempts.jsonl').open()]
    found = {line['attempt']['task']: line['outcome'] for line in outcomes}
    assert found == {'reach': 'corrected', 'lift': 'lost', 'wave': 'done'}
    assert {p.name for p in (tmp_path / 'out').iterdir()} == {'attempts.jsonl', 'reach'}
    data = Dataset(tmp_path / 'out/reach')
    assert len(data.episodes) == 2
    rows = data.read_episode(0)
    taught = rows[CONTROL_KEY][:, 0] > 0
    stalled = next(line['taken_over'] for line in outcomes if line['outcome'] == 'corrected')
    assert 1.0 <= stalled <= 2.2  # at a random time, or when it is seen to stand still
    assert taught.sum() >= 10 and not taught[:10].any()
    np.testing.assert_allclose(rows['action'][~taught], 0.0)
    np.testing.assert_allclose(np.diff(rows['action'][taught][:, 0]), 0.1, atol=1e-6)
    read = Demonstrations.read({str(tmp_path / 'out/reach'): 1.0}, TOY)
    np.testing.assert_array_equal(read.weight[: len(taught)], taught)
    with pytest.raises(SystemExit):
        main([*words])


def test_where_there_is_no_policy_an_expert_that_is_mistaken_drives(tmp_path):
    words = ['correct', '--env', f'{__name__}:ToyEnvironment', '--task', 'reach']
    words += ['--policy', 'mistaken', '--episodes', '4', '--workers', '1']
    assert main([*words, '--out', str(tmp_path / 'out')]) == 0
    outcomes = [json.loads(line) for line in (tmp_path / 'out/attempts.jsonl').open()]
    assert [line['outcome'] for line in outcomes] == ['corrected'] * 4
    assert all(0.5 <= line['taken_over'] <= 4.2 for line in outcomes)
    rows = Dataset(tmp_path / 'out/reach').read_episode(0)
    taught = rows[CONTROL_KEY][:, 0] > 0
    assert (np.diff(rows['action'][~taught][1:, 0]) < 0.0).all()
    assert (np.diff(rows['action'][taught][:, 0]) > 0.0).all()


def test_it_goes_on_where_it_was_interrupted_and_overwrites_nothing(tmp_path, capsys):
    words = ['correct', '--env', f'{__name__}:ToyEnvironment', '--task', 'wave', *TOYS]
    words += ['--out', str(tmp_path / 'out')]
    assert main(words) == 0
    before = (tmp_path / 'out/attempts.jsonl').read_text()
    assert main(words) == 0
    assert (tmp_path / 'out/attempts.jsonl').read_text() == before
    assert main([*words, '--cameras', 'back']) == 2
    assert '--cameras: the policy looks at front, too' in capsys.readouterr().err
    (tmp_path / 'out/lift').mkdir()  # another task's, and what was recorded of one more
    (tmp_path / 'out/.parts/push-1').mkdir(parents=True)
    assert main(words) == 0
    assert (tmp_path / 'out/.parts/push-1').is_dir()
    (tmp_path / 'out/wave').mkdir()
    assert main(words) == 2
    assert 'has corrections of wave already' in capsys.readouterr().err


def test_it_goes_on_only_with_the_cameras_that_it_was_begun_with(tmp_path, capsys):
    words = ['correct', '--env', f'{__name__}:ToyEnvironment', '--task', 'wave', *TOYS]
    (tmp_path / 'out/.parts').mkdir(parents=True)
    (tmp_path / 'out/.parts/cameras').write_text('front,back')
    assert main([*words, '--out', str(tmp_path / 'out')]) == 2
    assert 'out was begun with front,back, got none' in capsys.readouterr().err


def test_an_environment_without_an_expert_is_refused(tmp_path):
    from dit4dit_policy.training.corrections import Corrector

    with pytest.raises(ValueError, match='expected an environment with an expert'):
        Corrector(f'{__name__}:BareEnvironment', f'{__name__}:StillPolicy', '', 0.0)
