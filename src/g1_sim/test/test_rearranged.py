"""Demonstrations with everything elsewhere: the hands go to where the picture shows things."""

import mujoco
import numpy as np
import pytest

from g1_data import DatasetWriter, Schema
from g1_data.dataset import Dataset
from g1_data.schema import ACTION_KEY, CHUNK_KEY, KEYFRAME_KEY, STATE_KEY
from g1_description import load_robot
from g1_description.kinematics import ArmKinematics
from g1_sim.course import Carry, Course
from g1_sim.expert import Expert
from g1_sim.expert_command import main
from g1_sim.planner import Planner
from g1_sim.rearranged import demonstrate_rearranged, with_chunks
from g1_sim.simulation import Simulation

RIGHT = 1  # hand


@pytest.fixture(scope='module')
def plate():
    """A demonstration of insert_plate that was followed, and its simulation."""
    simulation = Simulation('insert_plate', 1000)
    expert = Expert.from_reset(simulation, Planner(), np.random.default_rng(0))
    course = Course(simulation, Planner(), expert)
    assert course.rollout.success
    return simulation, course


def moments(course, frame, count=12):
    rng = np.random.default_rng(0)
    return [made for _ in range(count) if (made := course.moment(frame, rng)) is not None]


def place(simulation, qpos, thing):
    joint = simulation.model.body(thing).jntadr[0]
    return qpos[simulation.model.jnt_qposadr[joint] :][:3]


def pose(posture, side='right'):
    return ArmKinematics().forward(posture[:14])[side]


def hand(posture, side='right'):
    return pose(posture, side)[:3, 3]


def in_hand(moment, position, side='right'):
    """In the hand's frame, but for where the robot stands."""
    turn = pose(moment.state, side)[:3, :3]
    return turn.T @ (position - hand(moment.state, side))


def test_what_is_carried_where(plate):
    _simulation, course = plate
    assert course.carries['rack'] == course.carries['pedestal'] == []
    (carry,) = course.carries['plate']
    assert isinstance(carry, Carry)
    assert (carry.hand, carry.onto) == (RIGHT, 'rack')
    assert 10 < carry.begin < carry.end < len(course)


def test_before_the_grasp_the_keyframe_is_at_the_thing(plate):
    simulation, course = plate
    (carry,) = course.carries['plate']
    frame = carry.begin - 12
    grips = {
        tuple(np.round(hand(m.keyframe) - place(simulation, m.qpos, 'plate'), 3)[:2])
        for m in moments(course, frame)
    }
    places = [place(simulation, m.qpos, 'plate') for m in moments(course, frame)]
    assert np.ptp(places, axis=0)[:2].min() > 0.03  # it is elsewhere in each of them,
    assert np.ptp(list(grips), axis=0).max() < 0.004  # and taken as demonstrated
    for moment in moments(course, frame):
        beside = place(simulation, moment.qpos, 'plate') - place(
            simulation, moment.qpos, 'pedestal'
        )
        assert np.linalg.norm(beside[:2]) < 0.002  # what it stands on has come along


def test_while_it_is_carried_the_keyframe_is_at_what_it_goes_to(plate):
    simulation, course = plate
    (carry,) = course.carries['plate']
    frame = (carry.begin + carry.end) // 2
    made = moments(course, frame)
    racks = [place(simulation, m.qpos, 'rack') for m in made]
    grips = [in_hand(m, place(simulation, m.qpos, 'plate')) for m in made]
    put = [pose(m.keyframe) @ np.append(grip, 1.0) for m, grip in zip(made, grips, strict=True)]
    assert np.ptp(racks, axis=0)[:2].min() > 0.03
    assert np.ptp(grips, axis=0).max() > 0.01  # it sits in the hand a little otherwise,
    assert np.ptp(np.array(put)[:, :3] - racks, axis=0).max() < 0.004  # and yet gets there


def test_a_hand_that_puts_something_down_is_not_astray(plate):
    simulation, course = plate
    (carry,) = course.carries['plate']
    made = moments(course, carry.end - 6)
    ways = [place(simulation, m.qpos, 'plate') - place(simulation, m.qpos, 'rack') for m in made]
    assert np.ptp(ways, axis=0).max() < 0.004
    assert np.ptp([hand(m.state) for m in moments(course, carry.end - 18)], axis=0)[2] > 0.005


def test_the_targets_lead_from_the_hand_to_the_thing(plate):
    simulation, course = plate
    (carry,) = course.carries['plate']
    frame = carry.begin - 10
    ends = [
        hand(m.targets[10]) - place(simulation, m.qpos, 'plate') for m in moments(course, frame)
    ]
    assert np.ptp(ends, axis=0)[:2].max() < 0.004
    begun = [hand(m.targets[0]) - hand(m.state) for m in moments(course, frame)]
    assert np.ptp(begun, axis=0).max() < 0.012  # no jump from where the hand is


def test_what_stands_fast_is_where_it_was():
    """The drawer's handle: the hand that pulls it goes there, whatever else is elsewhere."""
    simulation = Simulation('drawer_interaction', 1000)
    expert = Expert.from_reset(simulation, Planner(), np.random.default_rng(0))
    course = Course(simulation, Planner(), expert)
    (carry,) = course.carries['block']
    made = moments(course, carry.begin + 3)  # now the left hand goes to the handle
    grips = [hand(m.keyframe, 'left') for m in made]
    assert len(made) > 4 and np.ptp(grips, axis=0).max() < 0.004
    assert np.ptp([hand(m.state) for m in made], axis=0)[:2].min() > 0.02


def test_pictures_show_what_stands_fast_where_it_was(tmp_path, monkeypatch):
    seen = []

    def render(self, _camera, width, height):
        seen.append(self.data.body('cabinet').xpos.copy())
        return np.zeros((height, width, 3), np.uint8)

    monkeypatch.setattr(Simulation, 'render', render)
    robot = load_robot().embodiment
    schema = Schema.of(robot, {'head': (16, 16)}, extras=with_chunks(robot))
    simulation = Simulation('drawer_interaction', 1000)
    simulation.reset(1000)
    place = simulation.data.body('cabinet').xpos.copy()
    with DatasetWriter.create(tmp_path / 'd', schema) as writer:
        assert demonstrate_rearranged(simulation, Planner(), 1000, writer, 1).success
    assert len(seen) > 100
    np.testing.assert_allclose(seen, np.tile(place, (len(seen), 1)), atol=1e-6)


def test_moments_are_recorded_with_what_belongs_to_them(tmp_path):
    out = tmp_path / 'moments'
    options = ['--episodes', '1', '--workers', '1', '--rearranged', '2', '--out', str(out)]
    assert main(['pick_by_colour', '--seed-start', '1001', *options]) == 0
    data = Dataset(out)
    rows = data.read_finite(0, (STATE_KEY, ACTION_KEY, CHUNK_KEY, KEYFRAME_KEY))
    length = data.episodes[0].length
    assert length > 80
    assert rows[CHUNK_KEY].shape == (length, 16 * len(load_robot().action_joints))
    np.testing.assert_allclose(rows[CHUNK_KEY][:, :16], rows[ACTION_KEY], atol=1e-6)
    assert len({*data.frame_tasks(0)}) > 3  # each with the sentence of its colours
    assert np.linalg.norm(np.diff(rows[STATE_KEY][:, :14], axis=0), axis=1).max() > 0.03


@pytest.mark.parametrize('options', [['--dry-run'], ['--out', '{}/d', '--straying', '0.5']])
def test_moments_are_for_a_dataset(tmp_path, capsys, options):
    options = [option.format(tmp_path) for option in options]
    with pytest.raises(SystemExit):
        main(['pick_by_colour', '--rearranged', '1', *options])
    assert '--rearranged makes a dataset' in capsys.readouterr().err


def test_no_way_leads_through_what_stands_beside_it():
    simulation = Simulation('pick_by_colour', 1002)
    expert = Expert.from_reset(simulation, Planner(), np.random.default_rng(0))
    course = Course(simulation, Planner(), expert)
    assert course.rollout.success
    other = simulation.model.body('other').id
    for frame in range(0, 24, 2):
        for moment in moments(course, frame, count=6):
            simulation.data.qpos[:] = moment.qpos
            for target in moment.targets[::5]:
                simulation.scene.posture = target
                mujoco.mj_kinematics(simulation.model, simulation.data)
                mujoco.mj_collision(simulation.model, simulation.data)
                assert not any(other in pair for pair in simulation.scene.overlaps(0.002))
