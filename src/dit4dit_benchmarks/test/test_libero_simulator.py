"""With LIBERO's own simulator, where `make libero` has installed it; takes minutes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from untrained import write_untrained

from dit4dit_benchmarks.libero import protocol
from dit4dit_benchmarks.libero.demonstrate import record
from dit4dit_benchmarks.libero.environment import make, simulator
from dit4dit_policy.cli import main
from g1_data import Dataset
from g1_data.schema import STATE_KEY

RECORDED = Path(__file__).parent / 'recorded'

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture
def environment():
    try:
        made = make(('agentview', 'wrist'), 0.0)
    except ValueError as error:
        pytest.skip(str(error))
    yield made
    made.close()


def test_an_attempt_is_the_recorded_one(environment):
    """Which was made step by step, with every picture rendered."""
    attempt = np.load(RECORDED / 'libero_attempt.npz')
    commands = attempt['commands'].reshape(2, 8, 7)
    actions = np.concatenate([commands[..., :6], (1 - commands[..., 6:]) / 2], axis=2)
    seen = environment.reset('libero_spatial-0', 0)
    assert seen.instruction.startswith('pick up the black bowl between the plate and the ramekin')
    for name in protocol.CAMERAS:
        raw = np.array(Image.open(RECORDED / f'libero_{name}_raw.png'))[::-1, ::-1]
        assert np.abs(seen.images[name].astype(int) - raw).mean() < 0.5
    np.testing.assert_allclose(seen.state, attempt['state'][0], atol=1e-6)
    for chunk, expected in zip(actions, attempt['state'][1:], strict=True):
        step = environment.step(chunk)
        np.testing.assert_allclose(step.observation.state, expected, atol=1e-6)


def test_random_weights_go_through_the_whole_protocol(environment, tmp_path):
    checkpoint, out = write_untrained(tmp_path / 'checkpoint'), tmp_path / 'out'
    arguments = ['--suite', 'libero_object', '--task', '0', '--episodes', '2', '--workers', '1']
    arguments += ['--checkpoint', str(checkpoint), '--out', str(out)]
    assert main(['eval', '--env', 'libero', *arguments]) == 0
    result = json.loads((out / 'results.json').read_text())
    assert (result['episodes'], result['successes'], result['trained']) == (2, 0, False)
    assert [(row['seed'], row['seconds']) for row in result['results']] == [(0, 14.0), (1, 14.0)]
    videos = sorted(path.name for path in (out / 'failures').iterdir())
    assert videos == ['libero_object-0-0-not-done.mp4', 'libero_object-0-1-not-done.mp4']


@pytest.mark.parametrize('task', ['libero_spatial-2', 'libero_object-8'])
def test_the_expert_does_a_task_and_its_recording_is_of_the_evaluations_states(
    environment, tmp_path, task
):
    simulation = simulator()()
    try:
        assert record(simulation, task, range(2), 1, tmp_path / task) == (2, 2)
    finally:
        simulation.close()
    dataset = Dataset(tmp_path / task)
    for episode in range(2):
        seen = environment.reset(task, episode)
        state = dataset.read_finite(episode, (STATE_KEY,))[STATE_KEY]
        np.testing.assert_allclose(state[0], seen.state, atol=1e-6)
    assert dataset.tasks == (seen.instruction,)
