"""With RoboCasa-GR1's own simulator, where `make robocasa` has installed it, and our own boxes."""

import numpy as np
import pytest
from seeing import python_that_sees

from dit4dit_benchmarks.process import SimulatorProcess, environment_python
from dit4dit_benchmarks.robocasa_gr1.environment import RobocasaEnvironment
from dit4dit_benchmarks.robocasa_gr1.protocol import GROUPS

TASK = 'PosttrainPnPNovelFromPlateToBowlSplitA'
FINGERS = {'left_hand': 14, 'right_hand': 20}  # of a state and an action

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope='module')
def start(tmp_path_factory):
    """Starts a module in the simulator's environment."""
    try:
        installed = environment_python('.venv-robocasa', 'DIT4DIT_ROBOCASA')
    except ValueError as error:
        pytest.skip(str(error))
    python = python_that_sees(installed, tmp_path_factory.mktemp('python'))
    return lambda module: SimulatorProcess(python, module)


@pytest.fixture(scope='module')
def simulator(start):
    process = start('placeholder_robocasa')
    yield process
    process.close()


@pytest.fixture
def environment(simulator):
    return RobocasaEnvironment(('ego_view',), lambda: simulator)


def held(state):
    """A chunk that stays where it is."""
    return np.tile(state, (16, 1))


def test_spaces_are_those_that_the_adapter_reads_and_writes(environment, simulator):
    seen = environment.reset(TASK, 3)
    assert seen.images['ego_view'].shape == (256, 256, 3) and seen.images['ego_view'].std() > 10
    assert seen.state.shape == (29,) and np.isfinite(seen.state).all()
    assert seen.instruction.startswith('unlocked_waist: pick the ')
    spaces = simulator.call('spaces')
    assert spaces['contained']
    assert spaces['done'] == {f'action.{group}': [size] for group, size in GROUPS.items()}
    states = {name: size for name, size in spaces['seen'].items() if name.startswith('state.')}
    assert states == {f'state.{group}': [size] for group, size in GROUPS.items()}


def test_the_picture_is_cut_and_padded(environment):
    """720x480 in a square of 720: above and below, a sixth of it is black."""
    picture = environment.reset(TASK, 3).images['ego_view']
    assert picture[:42].max() == picture[-42:].max() == 0 < picture[43:-43].min(axis=2).mean()


def test_a_seed_is_a_scene(environment):
    first, other, again = (environment.reset(TASK, seed) for seed in (3, 4, 3))
    np.testing.assert_array_equal(first.state, again.state)
    np.testing.assert_array_equal(first.images['ego_view'], again.images['ego_view'])
    assert (first.images['ego_view'] != other.images['ego_view']).mean() > 0.05


@pytest.mark.parametrize('number', [0, 7, *FINGERS.values(), 19, 25, 26])
def test_a_number_of_the_action_moves_that_of_the_state(environment, number):
    """Which for hands means that both have the same end first."""
    state = environment.reset(TASK, 3).state
    chunk = held(state)
    chunk[:, number] += 1.0 if number in range(14, 26) else 0.2
    step = environment.step(chunk)
    moved = step.observation.state - state
    assert np.abs(moved).argmax() == number and moved[number] > 0.1
    assert (step.done, step.time) == (False, pytest.approx(12 / 20))


def test_what_is_missing_as_installed_is_told(start):
    process = start('dit4dit_benchmarks.robocasa_gr1.simulation')
    try:
        environment = RobocasaEnvironment(('ego_view',), lambda: process)
        environment.reset(TASK, 0)
    except ValueError as error:
        assert 'robocasa_gr1.scripts.download_tabletop_assets' in str(error)
    finally:
        process.close()
