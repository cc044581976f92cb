"""Whoever adds a robot, policy, backbone, environment, device or task edits nothing in src/.

Everything that is added here is in test/extending/, which the suite does not know of.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from dit4dit_policy.evaluation.rollouts import Attempt, Evaluation, Setting
from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.shipped import load_policy
from dit4dit_policy.training.train import TrainConfig, train
from g1_bringup import launcher
from g1_bringup.arguments import check
from g1_bringup.systems import find
from g1_bringup.systems.grippers import gripper_nodes
from g1_data import DatasetWriter
from g1_data.schema import Schema
from g1_data.validate import validate
from g1_description import load_embodiment, load_robot
from g1_description.embodiment import embodiment_path
from g1_ros.middleware import environment
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS
from g1_sim.environment import G1Environment
from g1_sim.expert import demonstrate
from g1_sim.planner import Planner
from g1_sim.simulation import Simulation
from g1_test_support.outside import Outside
from g1_test_support.processes import Program, module, node
from g1_test_support.sdk_robot import Operator, control_node, sdk_robot
from g1_test_support.waiting import wait_until

HERE = Path(__file__).parent / 'extending'
ROBOT = HERE / 'toy_robot.yaml'


@pytest.fixture(autouse=True)
def toys_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv('PYTHONPATH', str(HERE), prepend=':')
    yield
    sys.modules.pop('toy', None)


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """Six short episodes of the toy robot: a bright square where its first joint is."""
    root = tmp_path_factory.mktemp('toy') / 'dataset'
    toy = load_embodiment(ROBOT)
    schema = Schema.of(toy, {'front': (48, 64), 'wrist': (48, 64)})
    rng = np.random.default_rng(0)
    with DatasetWriter.create(root, schema) as writer:
        for _ in range(6):
            with writer.episode('Raise it.') as episode:
                for k in range(24):
                    state, action = rng.normal(0, 0.1, 8), rng.normal(0, 0.1, 7)
                    state[0] = action[0] = k / 24
                    action[6] = float(k > 12)
                    image = np.zeros((48, 64, 3), np.uint8)
                    image[20:28, 2 * k : 2 * k + 8] = 255
                    episode.add(state, action, {'front': image, 'wrist': image[:, ::-1]})
    return root


def configuration(dataset: Path, output: Path, **changes: object) -> TrainConfig:
    """Of a training of a few steps; read from a file, as a person's would be."""
    values = yaml.safe_load((HERE / 'train_toy.yaml').read_text())
    values |= {'datasets': {str(dataset): 1}, 'output': str(output), **changes}
    path = output.with_suffix('.yaml')
    path.write_text(yaml.safe_dump(values))
    return TrainConfig.read(path)


def test_a_robot_from_its_yaml_to_a_policy(dataset, tmp_path):
    assert validate(dataset) == []
    checkpoint = train(
        configuration(dataset, tmp_path / 'run', embodiment=str(ROBOT), cameras=['front', 'wrist'])
    )
    toy = load_embodiment(ROBOT)
    policy = load_policy(checkpoint, toy)
    assert policy.cameras == ('front', 'wrist')
    image = np.zeros((48, 64, 3), np.uint8)
    seen = Observation({'front': image, 'wrist': image}, np.zeros(8), 'Raise it.')
    chunk = policy.infer(seen)
    assert chunk.shape == (16, 7)
    assert set(np.unique(chunk[:, 6])) <= {0.0, 1.0}
    with pytest.raises(ValueError, match='g1_aloha'):
        load_policy(checkpoint, load_embodiment('g1_aloha'))


def test_a_backbone_trains(dataset, tmp_path):
    checkpoint = train(
        configuration(
            dataset,
            tmp_path / 'run',
            preset='toy:patches_config',
            embodiment=str(ROBOT),
            cameras=['front'],
        )
    )
    policy = load_policy(checkpoint, load_embodiment(ROBOT))
    image = np.zeros((48, 64, 3), np.uint8)
    dark = policy.infer(Observation({'front': image}, np.zeros(8), 'Raise it.'))
    bright = policy.infer(Observation({'front': image + 255}, np.zeros(8), 'Raise it.'))
    assert dark.shape == (16, 7)
    assert not np.allclose(dark, bright)


def test_an_environment_is_evaluated(tmp_path):
    setting = Setting(
        env='toy:Balance',
        policy='toy:raising',
        checkpoint='',
        cameras=('front', 'wrist'),
        latency=0.0,
        real_time_chunking=False,
        videos=tmp_path,
    )
    evaluation = Evaluation(setting)
    usual = [evaluation.episode(Attempt('raise_it', seed)) for seed in range(3)]
    assert all(episode.success and episode.stage == 'up' for episode in usual)
    heavy = evaluation.episode(Attempt('raise_it', 0, 'heavy'))
    assert (heavy.success, heavy.stage) == (False, 'down')


def test_a_task_with_two_hands_is_simulated():
    simulation, planner = Simulation('toy:RaiseHands', 0), Planner()
    episode = demonstrate(simulation, planner, seed=0, writer=None)
    assert episode.success, episode.text
    environment = G1Environment((), 0.1)
    observation = environment.reset('toy:RaiseHands', 0)
    assert observation.instruction == 'Raise both hands.'
    stood = environment.step(np.tile(observation.state, (16, 1)))
    assert (stood.done, stood.stage) == (False, 'begun')
    environment.close()


def test_a_task_stands_on_the_simulator_s_table():
    with Outside() as outside:
        told: list[String] = []
        outside.node.create_subscription(String, 'sim/instruction', told.append, STATUS)
        with Program(
            node('g1_sim.nodes.sim_node:main', '--ros-args', '-p', 'task:=toy:RaiseHands')
        ):
            outside.wait_for(lambda: told, 'what the scene asks for')
        assert told[0].data == 'Raise both hands.'


def test_a_policy_drives_policy_node():
    robot = load_robot()
    with Outside() as outside:
        chunks: list[ActionChunk] = []
        outside.node.create_subscription(ActionChunk, 'policy/action_chunk', chunks.append, COMMAND)
        topic = robot.embodiment.cameras['head'].topic
        images = outside.node.create_publisher(Image, f'{topic}/image_raw', SENSOR_DATA)
        states = outside.node.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        picture = Image(height=48, width=64, step=192, encoding='rgb8', data=bytes(48 * 192))
        state = JointState(name=list(robot.state_joints), position=[0.01] * len(robot.state_joints))

        def publish() -> None:
            now = outside.node.get_clock().now().to_msg()
            picture.header.stamp = state.header.stamp = now
            states.publish(state)
            images.publish(picture)

        outside.node.create_timer(0.05, publish)
        parameters = ('-p', 'policy:=toy:waving', '-p', 'task:=arrange_flower')
        command = node('dit4dit_policy.nodes.policy_node:main', '--ros-args', *parameters)
        with Program(command):
            outside.wait_for(lambda: len(chunks) > 2, 'three chunks of the policy')
        assert chunks[-1].model_id == 'waving'
        assert len(chunks[-1].trajectory.points) == 16
        assert chunks[-1].trajectory.points[0].positions[13] == pytest.approx(0.01)


def test_a_gripper_opens_as_far_as_its_yaml_says(tmp_path, ros_domain):
    """The very command of `g1 launch robot.launch.py robot:=g1 gripper:=toy_gripper:main ...`."""
    pytest.importorskip('unitree_sdk2py')
    content = yaml.safe_load(embodiment_path('g1_aloha').read_text())
    content['hardware']['gripper'] |= {'stroke': 0.08, 'home': 0.06}
    path = tmp_path / 'g1_toy.yaml'
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    given = {'robot': 'g1', 'gripper': 'toy_gripper:main', 'camera': 'none'}
    given |= {'embodiment': str(path)}
    values = check(find('robot.launch.py'), given)
    (driver,) = gripper_nodes(values)
    variables = environment(values)
    wide = load_robot().home
    wide[14:] = 0.075

    with (
        sdk_robot(ros_domain),
        control_node(variables, missed_deadlines=250, lowstate_stale=0.3, lowstate_lost=0.6),
        Program(launcher.command(driver, values), variables=variables),
        Operator(ros_domain, grippers=False) as operator,
    ):

        def opening() -> float:
            return operator.joint_states[-1].position[-1]

        operator.arm()
        assert opening() == pytest.approx(0.06)
        operator.send(lambda _: wide)
        operator.wait_for(lambda: opening() > 0.07, 'an opening of 7.5 cm')


def test_a_device_moves_the_hands():
    robot = load_robot()
    with Outside() as outside:
        targets: list[JointTrajectory] = []
        outside.node.create_subscription(
            JointTrajectory, 'teleop/joint_targets', targets.append, COMMAND
        )
        states = outside.node.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        home = dict(zip(robot.action_joints, robot.home.tolist(), strict=True))
        state = JointState(
            name=list(robot.state_joints),
            position=[home.get(name, 0.0) for name in robot.state_joints],
        )

        def publish() -> None:
            state.header.stamp = outside.node.get_clock().now().to_msg()
            states.publish(state)

        safety = outside.node.create_publisher(SafetyStatus, 'control/safety_status', STATUS)
        safety.publish(SafetyStatus(mode=SafetyStatus.ACTIVE))
        outside.node.create_timer(0.01, publish)
        teleop = node('g1_teleop.nodes.teleop_node:main')
        said: list[str] = []

        def hear(message: String) -> None:
            said.append(message.data)

        outside.node.create_subscription(String, 'teleop/status', hear, STATUS)

        def moved() -> bool:
            if len(targets) < 10:
                return False
            first, last = (np.array(t.points[-1].positions) for t in (targets[0], targets[-1]))
            return bool(np.abs(last - first)[7:14].max() > 0.05)

        with Program(teleop), Program(module('toy_device')) as device:
            wait_until(moved, lambda: f'targets that follow the hand; {said}; {device.output}')
