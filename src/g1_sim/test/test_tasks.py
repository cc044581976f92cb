"""The simulated tasks: one file each, reproducible scenes, honest success."""

import mujoco
import numpy as np
import pytest

from g1_ros.config import load_tasks
from g1_sim.simulation import Simulation
from g1_sim.tasks import load_task, simulated_tasks

#: What is moved and where to; and how far both spread over many scenes, forward and sideways [m].
MOVED = {'arrange_flower': ('flower', 'vase'), 'pick_and_place': ('object', 'plate')}
SPREAD = {
    'arrange_flower': {'flower': (0.10, 0.145), 'vase': (0.10, 0.145)},
    'box_packing': {'carton': (0.03, 0.07), 'item': (0.06, 0.11)},
    'drawer_interaction': {'cabinet': (0.03, 0.09), 'block': (0.05, 0.09)},
    'insert_plate': {'plate': (0.09, 0.13), 'rack': (0.08, 0.10)},
    'move_spoon': {'spoon': (0.06, 0.13), 'dish': (0.08, 0.13)},
    'pick_and_place': {'object': (0.10, 0.145), 'plate': (0.10, 0.145)},
    'pick_by_colour': {'object': (0.10, 0.145), 'other': (0.10, 0.145), 'plate': (0.08, 0.08)},
    'stack_cups': {'cup_0': (0.08, 0.08), 'cup_1': (0.10, 0.11), 'cup_2': (0.10, 0.11)},
}
NAMES = sorted(SPREAD)


@pytest.fixture(scope='module', params=NAMES)
def simulation(request):
    return Simulation(request.param, 0)


def scene(simulation, seed):
    simulation.reset(seed)
    model = simulation.model
    return np.concatenate(
        [
            simulation.data.qpos,
            model.geom_rgba.ravel(),
            model.light_dir.ravel(),
            model.cam_pos.ravel(),
        ]
    )


def settle(simulation, seconds=0.5):
    for _ in range(round(seconds / simulation.model.opt.timestep)):
        simulation.step()


def test_every_simulated_task_has_an_instruction():
    assert set(NAMES) == set(simulated_tasks()) == set(load_tasks())


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r'arrange_flower, .*pick_and_place'):
        load_task('dance')


def test_a_task_of_another_module_is_named_with_its_class(tmp_path, monkeypatch):
    (tmp_path / 'bells.py').write_text(
        'from g1_sim.tasks.pick_and_place import Task\nclass Ring(Task):\n    pass\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load_task('bells:Ring').name == 'bells:Ring'


def test_a_seed_gives_the_same_scene_again(simulation):
    first = scene(simulation, 7)
    other = scene(simulation, 8)
    np.testing.assert_array_equal(scene(simulation, 7), first)
    assert not np.allclose(first, other)


def test_only_the_variant_camera_mounts_the_head_camera_anew(simulation):
    moved = Simulation(simulation.task.name, 0, 'camera')
    scenes = []
    for world in (simulation, moved):
        world.reset(3)
        model, camera = world.model, world.model.camera('head').id
        scenes.append((world.data.qpos.copy(), model.geom_rgba.copy(), model.light_dir.copy()))
        angle = 2 * np.arccos(min(1.0, abs(model.cam_quat[camera] @ (0.0, 1.0, 0.0, 0.0))))
        poses = model.cam_pos[camera], angle
        if world is moved:
            assert 0.001 < np.linalg.norm(poses[0]) < 0.0087 and 0.001 < angle < 0.016
        else:
            assert not poses[0].any() and angle < 1e-6
    for usual, other in zip(*scenes, strict=True):
        np.testing.assert_array_equal(usual, other)


def test_objects_move_by_several_centimetres_each_way(simulation):
    spread = SPREAD[simulation.task.name]
    places: dict[str, list[np.ndarray]] = {body: [] for body in spread}
    for seed in range(60):
        simulation.reset(seed)
        for body in spread:
            places[body].append(simulation.data.body(body).xpos[:2].copy())
    for body, (forward, sideways) in spread.items():
        reached = np.ptp(places[body], axis=0)
        assert reached[0] > forward and reached[1] > sideways, (body, reached)


def test_nothing_is_done_at_the_start_and_objects_stay_where_they_are(simulation):
    for seed in range(5):
        simulation.reset(seed)
        before = {b: simulation.data.body(b).xpos.copy() for b in SPREAD[simulation.task.name]}
        assert not simulation.success() and simulation.progress() == 'begun'
        settle(simulation)
        assert not simulation.success()
        for body, place in before.items():
            assert np.linalg.norm(simulation.data.body(body).xpos - place) < 0.01


def test_the_sentence_names_the_colour_of_the_can_that_is_meant():
    simulation = Simulation('pick_by_colour', 0)
    asked = set()
    for seed in range(12):
        simulation.reset(seed)
        colours = [simulation.model.geom(name).rgba[:3].copy() for name in ('can', 'other_can')]
        assert np.abs(colours[0] - colours[1]).max() > 0.2
        asked.add((simulation.instruction, tuple(colours[0].round(2))))
    assert len(asked) == len(dict(asked)) >= 3  # a sentence always means the same colour


@pytest.fixture(params=sorted(MOVED))
def one_handed(request):
    return Simulation(request.param, 0)


def put(simulation, offset, quaternion=(1.0, 0.0, 0.0, 0.0)):
    """Puts the object relative to its target and lets it come to rest."""
    thing, target = MOVED[simulation.task.name]
    joint = simulation.data.joint(thing)
    joint.qpos[:3] = simulation.data.body(target).xpos + offset
    joint.qpos[3:] = quaternion
    joint.qvel[:] = 0.0
    mujoco.mj_forward(simulation.model, simulation.data)
    settle(simulation, 2.0)


def test_success_is_the_object_in_or_on_its_target_at_rest(one_handed):
    one_handed.reset(0)
    put(one_handed, (0.01, 0.0, 0.012))
    assert one_handed.success()


def test_success_is_not_the_object_beside_its_target(one_handed):
    one_handed.reset(0)
    put(one_handed, (0.13, 0.0, 0.01))
    assert not one_handed.success()


def test_success_is_not_a_falling_object(one_handed):
    one_handed.reset(0)
    put(one_handed, (0.0, 0.0, 0.25))
    one_handed.data.joint(MOVED[one_handed.task.name][0]).qvel[2] = -0.5
    assert not one_handed.success()


@pytest.mark.parametrize(
    ('task', 'body'),
    [('arrange_flower', 'flower'), ('box_packing', 'item'), ('pick_and_place', 'object')],
)
def test_what_rolls_comes_to_rest(task, body):
    simulation = Simulation(task, 0)
    joint = simulation.data.joint(body)
    joint.qpos[:3] = (0.7, -0.3, 0.80)
    joint.qpos[3:] = (np.cos(np.pi / 4), 0.0, np.sin(np.pi / 4), 0.0)  # it lies along x
    if body == 'item':
        joint.qpos[3:] = (1.0, 0.0, 0.0, 0.0)
    joint.qvel[1] = 0.2
    settle(simulation, 3.0)
    assert simulation.scene.settled(body)
    assert simulation.scene.position(body)[2] > 0.75
