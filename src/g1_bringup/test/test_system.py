"""What each system takes and refuses, the same with and without `ros2 launch`."""

import json
import shutil
from pathlib import Path

import pytest

from dit4dit_policy.inference.shipped import checkpoint_folder
from g1_bringup import launcher
from g1_bringup import system as bringup_system
from g1_bringup.arguments import check
from g1_bringup.system import ArgumentError, holds, include_arguments, is_installed, parameters
from g1_bringup.systems import cameras, find, robot_side, systems
from g1_bringup.systems.robot_side import simulated_tasks
from g1_console import cli
from g1_ros.config import load_tasks
from g1_ros.middleware import environment

ALL = sorted(systems())


@pytest.fixture(autouse=True)
def with_realsense2_camera(monkeypatch):
    pretend(monkeypatch, realsense2_camera=True)


def pretend(monkeypatch, realsense2_camera, modules=()):
    """That realsense2_camera is installed or not, and of other modules only these."""

    def installed(name):
        return realsense2_camera if name == 'realsense2_camera' else is_installed(name)

    for module in (bringup_system, cameras, launcher):
        monkeypatch.setattr(module, 'is_installed', installed)
    monkeypatch.setattr(cameras, '_is_module', lambda name: name in modules)


def started(name, **given):
    """The nodes and includes that would be started, by executable or file name."""
    described = systems()[name]
    values = check(described, given)
    nodes = {n.executable: n for n in described.started(values)}
    includes = {i.file for i in described.included(values)}
    return nodes, includes, values


@pytest.mark.parametrize('name', ALL)
def test_every_argument_is_described_and_its_default_allowed(name):
    system = systems()[name]
    assert all(argument.description.endswith('.') for argument in system.arguments)
    assert set(check(system, {})) == {argument.name for argument in system.arguments}


@pytest.mark.parametrize('name', ALL)
def test_show_args_lists_exactly_the_arguments(name, capsys):
    assert cli.main(['launch', f'{name}.launch.py', '--show-args']) == 0
    shown = [line.strip(" ':") for line in capsys.readouterr().out.splitlines() if line[4:5] == "'"]
    assert shown == [argument.name for argument in systems()[name].arguments]


@pytest.mark.parametrize(
    ('words', 'named'),
    [
        (['policy.launch.py', 'task:=nonsense'], ['arrange_flower', 'pick_and_place']),
        (['policy.launch.py', 'robot:=go2'], ['sim', 'g1']),
        (['policy.launch.py', 'robot:=g1', 'task:=nonsense'], ['arrange_flower', 'stack_cups']),
        (['policy.launch.py', 'taks:=arrange_flower'], ['taks', 'task', 'robot', 'seed']),
        (['policy.launch.py', 'seed:=many'], ['seed:=many', 'whole number']),
        (['policy.launch.py', 'seed:=-1'], ['seed:=-1', '0']),
        (['policy.launch.py', 'rviz:=yes'], ['true', 'false']),
        (['policy.launch.py', 'task'], ['name:=value']),
        (['rviz.launch.py', 'task:=arrange_flower'], ['namespace', 'log_level']),
        (['rviz.launch.py', 'namespace:=a b'], ['lab/g1']),
        (['sim.launch.py', 'log_level:=loud'], ['debug', 'info', 'warn', 'error']),
        (['policy.launch.py', 'machine:=laptop'], ['both', 'robot', 'workstation']),
        (['robot.launch.py', 'robot:=g1', 'camera:=webcam'], ['realsense', 'replay', 'none']),
        (['robot.launch.py', 'robot:=g1', 'camera:=replay'], ['camera_file', 'video']),
        (['robot.launch.py', 'camera:=replay', 'camera_file:=.'], ['robot:=g1']),
        (['policy.launch.py', 'policy:=remote'], ['server:=ws://HOST:PORT']),
        (['policy.launch.py', 'policy:=remote', 'server:=host:10093'], ['ws://HOST:PORT']),
        (['policy.launch.py', 'server:=ws://host:10093'], ['policy:=remote']),
        (['sim.launch.py', 'cameras:=head,neck'], ['head, left_wrist, right_wrist']),
        (['sim.launch.py', 'cameras:=head,head'], ['each once']),
        (
            ['robot.launch.py', 'robot:=g1', 'cameras:=head,left_wrist', 'head_serial:=1'],
            ['left_wrist_serial', 'rs-enumerate-devices'],
        ),
        (['robot.launch.py', 'network_interface:=eth99'], ['eth99', 'lo']),
        (['teleop_record.launch.py', 'device:=mouse'], ['xrobotoolkit', 'replay', 'scripted']),
        (['teleop_record.launch.py', 'device:=g1_teleop/glove'], ['PACKAGE/EXECUTABLE']),
        (['teleop_record.launch.py', 'robot:=g1', 'device:=scripted'], ['robot:=sim']),
        (['teleop_record.launch.py', 'device:=replay'], ['replay_file', 'raw_log']),
        (
            ['policy.launch.py', 'checkpoint:=/nowhere'],
            ['checkpoint:=/nowhere cannot be used', 'is no folder', 'config.json'],
        ),
        (['policy.launch.py', 'policy:=oracle'], ['dit4dit', 'remote', 'module:attribute']),
        (['policy.launch.py', 'cameras:=left_wrist'], ['checkpoint sees head']),
        (['polcy.launch.py'], ['policy.launch.py', 'sim.launch.py']),
        ([], ['policy.launch.py']),
    ],
)
def test_what_cannot_be_taken_is_refused_before_anything_starts(words, named, capsys, monkeypatch):
    monkeypatch.setattr(launcher, 'run', lambda *_: pytest.fail('something was started'))
    assert cli.main(['launch', *words]) == 2
    error = capsys.readouterr().err
    assert all(name in error for name in named), error


@pytest.fixture
def unsimulated(monkeypatch):
    """A task that there is no scene for."""
    tasks = {**load_tasks(), 'open_the_door': 'Open the door.'}
    monkeypatch.setattr(robot_side, 'load_tasks', lambda: tasks)
    systems.cache_clear()
    yield 'open_the_door'
    systems.cache_clear()


def test_only_what_can_be_simulated_is_offered_for_the_simulation(unsimulated, capsys):
    for words, offered in (([], False), (['robot:=sim'], False), (['robot:=g1'], True)):
        assert cli.main(['launch', 'policy.launch.py', *words, '--show-args']) == 0
        shown = capsys.readouterr().out
        assert 'arrange_flower' in shown
        assert (unsimulated in shown) == offered
    given = {'task': unsimulated, 'robot': 'g1'}
    assert check(find('policy.launch.py'), given)['task'] == unsimulated


def test_a_task_without_a_simulation_is_refused_for_the_simulation_only(monkeypatch):
    without = 'move_spoon'
    others = tuple(task for task in simulated_tasks() if task != without)
    monkeypatch.setattr(robot_side, 'simulated_tasks', lambda: others)
    with pytest.raises(ArgumentError, match='insert_plate, box_packing'):
        check(find('policy.launch.py'), {'task': without})
    assert check(find('policy.launch.py'), {'task': without, 'robot': 'g1'})['task'] == without


def test_the_real_robot_comes_with_its_camera_and_without_a_simulation():
    for name in ('policy', 'robot', 'teleop_record'):
        nodes, includes, _ = started(name, robot='g1')
        assert 'sim_node' not in nodes and 'control_node' in nodes
        assert includes == {'rs_launch.py'} and 'realsense_node' not in nodes
        nodes, includes, _ = started(name)
        assert {'sim_node', 'control_node'} <= set(nodes) and not includes


@pytest.mark.parametrize('robot', ['sim', 'g1'])
@pytest.mark.parametrize('name', ALL)
def test_every_node_of_ours_is_installed_and_has_a_command(name, robot):
    system = systems()[name]
    has_robot = any(argument.name == 'robot' for argument in system.arguments)
    nodes, _, values = started(name, **({'robot': robot} if has_robot else {}))
    for node in nodes.values():
        if node.package.startswith(('g1_', 'dit4dit_')):
            words = launcher.command(node, values)
            assert words.count('--params-file') == len(node.config)
            assert node.executable in ' '.join(words)


def test_the_camera_of_the_real_robot_can_be_a_recording_or_left_out(tmp_path):
    nodes, includes, _ = started('robot', robot='g1', camera='none')
    assert not includes and 'camera_replay' not in nodes
    file = tmp_path / 'ego.mp4'
    file.touch()
    nodes, includes, values = started(
        'policy', robot='g1', machine='robot', camera='replay', camera_file=str(file)
    )
    assert not includes
    assert parameters(nodes['camera_replay'], values) == {'path': str(file)}


def test_the_grippers_of_the_real_robot_can_be_left_out_or_be_of_others():
    for system in ('robot', 'policy', 'teleop_record'):
        nodes, _, _ = started(system, robot='g1', gripper='none')
        assert 'no_grippers' in nodes and 'gripper_node' not in nodes
    nodes, _, values = started('policy', robot='g1', gripper='g1_control.nodes.no_grippers:main')
    words = launcher.command(nodes['module_node'], values)
    assert words[1] == 'g1_control.nodes.no_grippers:main'
    assert nodes['module_node'].label == 'g1_control.nodes.no_grippers'
    nodes, _, _ = started('policy', gripper='none')  # a simulated robot has its own
    assert 'no_grippers' not in nodes
    with pytest.raises(ArgumentError, match='gripper:=hook is not valid; expected aloha, none, PA'):
        started('robot', robot='g1', gripper='hook')


def test_the_speed_asked_for_reaches_control():
    for robot in ('sim', 'g1'):
        nodes, _, values = started('policy', robot=robot, speed='0.5')
        assert parameters(nodes['control_node'], values)['speed'] == 0.5
    with pytest.raises(ArgumentError, match=r'expected a number from 0\.05 to 1\.0'):
        started('policy', speed='2')


def test_without_a_ros_installation_our_own_nodes_take_the_images(monkeypatch):
    asked = {'cameras': 'head,left_wrist', 'head_serial': '12', 'left_wrist_serial': '34'}
    pretend(monkeypatch, realsense2_camera=False, modules=('pyrealsense2', 'zmq'))
    nodes, includes, values = started('robot', robot='g1', **asked)
    assert not includes
    assert parameters(nodes['realsense_node'], values) == {
        'cameras': ('head', 'left_wrist'),
        'head_serial': '12',
        'left_wrist_serial': '34',
    }
    nodes, _, values = started('robot', robot='g1', camera='teleimager', camera_host='10.0.0.2')
    assert parameters(nodes['teleimager_node'], values)['host'] == '10.0.0.2'
    assert 'realsense_node' not in nodes
    for machine, there in (('robot', True), ('workstation', False)):
        nodes, _, _ = started('policy', robot='g1', machine=machine)
        assert ('realsense_node' in nodes) is there


@pytest.mark.parametrize(
    ('camera', 'remedy'),
    [
        ('realsense', 'ros-jazzy-realsense2-camera.*pip install pyrealsense2'),
        ('teleimager', 'pyzmq'),
    ],
)
def test_what_reads_the_camera_has_to_be_installed(monkeypatch, camera, remedy):
    pretend(monkeypatch, realsense2_camera=False)
    with pytest.raises(ArgumentError, match=remedy):
        started('robot', robot='g1', camera=camera)
    started('policy', robot='g1', machine='workstation', camera=camera)  # it has no camera


def test_every_camera_asked_for_gets_a_node_of_its_own_with_its_serial_number():
    system = systems()['teleop_record']
    values = check(
        system,
        {
            'robot': 'g1',
            'cameras': 'head,right_wrist',
            'head_serial': '0123',
            'right_wrist_serial': '4567',
        },
    )
    head, wrist = (
        dict(include_arguments(i, values)) for i in system.includes if holds(i.when, values)
    )
    assert (head['camera_name'], head['serial_no']) == ('camera', '_0123')
    assert (wrist['camera_name'], wrist['serial_no']) == ('right_wrist', '_4567')
    assert head['rgb_camera.color_profile'] == wrist['depth_module.color_profile'] == '640x480x30'
    _, _, values = started('robot', robot='g1')
    only = next(i for i in systems()['robot'].includes if holds(i.when, values))
    assert 'serial_no' not in dict(include_arguments(only, values))


def test_the_cameras_reach_whoever_renders_records_or_looks():
    for name in ('policy', 'teleop_record'):
        nodes, _, values = started(name, cameras='head,left_wrist')
        for node in set(nodes) & {'sim_node', 'recorder_node', 'policy_node'}:
            assert parameters(nodes[node], values)['cameras'] == ('head', 'left_wrist')
            assert 'cameras:=["head", "left_wrist"]' in launcher.command(nodes[node], values)


def test_a_checkpoint_has_the_cameras_that_it_looks_at(tmp_path):
    shutil.copytree(checkpoint_folder(), tmp_path / 'wrists')
    path = tmp_path / 'wrists/processor.json'
    content = json.loads(path.read_text())
    seen = content['embodiment']['cameras']
    seen['right_wrist'] = seen['head'] | {'key': 'observation.images.right_wrist'}
    path.write_text(json.dumps(content))
    nodes, _, values = started('policy', checkpoint=str(path.parent))
    for node in ('sim_node', 'policy_node'):
        assert parameters(nodes[node], values)['cameras'] == ('head', 'right_wrist')
    with pytest.raises(ArgumentError, match=r'g1_aloha has no right_wrist'):
        started('policy', checkpoint=str(path.parent), cameras='head')
    started('policy', checkpoint=str(path.parent), robot='g1', machine='workstation')
    with pytest.raises(ArgumentError, match='head_serial, right_wrist_serial: expected the serial'):
        started('policy', checkpoint=str(path.parent), robot='g1', machine='robot')
    with pytest.raises(ArgumentError, match='cameras: expected those that checkpoint:=/not/there'):
        started('policy', checkpoint='/not/there', machine='robot')
    content['embodiment']['cameras'] = {'agent': seen['head'], 'wrist': seen['head']}
    path.write_text(json.dumps(content))
    with pytest.raises(ArgumentError, match='the checkpoint sees agent, wrist'):
        started('policy', checkpoint=str(path.parent))
    nodes, _, values = started('policy', policy='remote', server='ws://192.168.1.20:10093')
    assert parameters(nodes['policy_node'], values)['cameras'] == ('head',)


@pytest.mark.parametrize('robot', ['sim', 'g1'])
def test_two_machines_share_out_what_one_machine_runs(robot):
    parts = {
        machine: set(nodes) | includes
        for machine in ('both', 'robot', 'workstation')
        for nodes, includes, _ in [started('policy', robot=robot, machine=machine)]
    }
    assert parts['workstation'] == {'policy_node'}
    assert 'control_node' in parts['robot'] and 'policy_node' not in parts['robot']
    assert parts['robot'] | parts['workstation'] == parts['both']


def test_in_shadow_mode_nobody_executes_the_chunks_of_the_policy():
    nodes, _, values = started('policy', shadow='true')
    words = launcher.command(nodes['policy_node'], values)
    assert 'policy/action_chunk:=shadow/action_chunk' in words
    assert 'shadow_node' in nodes
    nodes, _, values = started('policy')
    assert '-r' not in launcher.command(nodes['policy_node'], values)
    assert 'shadow_node' not in nodes


def test_the_task_reaches_the_policy_at_once_or_with_a_goal():
    nodes, _, values = started('policy', task='pick_and_place')
    assert parameters(nodes['policy_node'], values) == {
        'task': 'pick_and_place',
        'run': True,
        'cameras': ('head',),
    }
    assert parameters(nodes['sim_node'], values) == {
        'task': 'pick_and_place',
        'seed': 0,
        'cameras': ('head',),
    }
    folder = str(checkpoint_folder())
    nodes, _, values = started('policy', task='move_spoon', run='false', checkpoint=folder)
    assert parameters(nodes['policy_node'], values) == {
        'task': 'move_spoon',
        'run': False,
        'checkpoint': folder,
        'cameras': ('head',),
    }


def test_a_policy_server_is_asked_where_its_address_is_given():
    nodes, _, values = started('policy', policy='remote', server='ws://192.168.1.20:10093')
    given = parameters(nodes['policy_node'], values)
    assert (given['policy'], given['server']) == ('remote', 'ws://192.168.1.20:10093')
    nodes, _, values = started('policy')
    assert not {'policy', 'server'} & set(parameters(nodes['policy_node'], values))


def test_the_task_reaches_the_operator_and_the_recorder():
    nodes, _, values = started(
        'teleop_record', task='pick_and_place', device='scripted', dataset='runs/cans', episodes='5'
    )
    assert parameters(nodes['scripted_operator'], values) == {'task': 'pick_and_place'}
    assert parameters(nodes['recorder_node'], values) == {
        'task': 'pick_and_place',
        'dataset': 'runs/cans',
        'episodes_goal': 5,
        'cameras': ('head',),
        'keep_last': 0.0,
    }


def test_a_device_is_a_node_of_its_own_of_any_package():
    for device, executable in (
        ('xrobotoolkit', 'xrobotoolkit_node'),
        ('scripted', 'scripted_operator'),
        ('g1_teleop/replay_node', 'replay_node'),
    ):
        nodes, _, _ = started('teleop_record', device=device)
        assert {executable, 'teleop_node', 'recorder_node'} <= set(nodes)
    nodes, _, _ = started('teleop_record', device='none')
    assert 'teleop_node' in nodes
    assert not {'xrobotoolkit_node', 'replay_node', 'scripted_operator'} & set(nodes)


def test_a_missing_package_is_named_with_the_command_that_installs_it(capsys, monkeypatch):
    monkeypatch.setattr(launcher, 'run', lambda *_: pytest.fail('something was started'))
    monkeypatch.setattr('shutil.which', lambda _: None)
    pretend(monkeypatch, realsense2_camera=False)
    assert cli.main(['launch', 'robot.launch.py', 'robot:=g1']) == 2
    assert 'sudo apt-get install ros-jazzy-realsense2-camera' in capsys.readouterr().err


def test_a_simulation_stays_on_this_machine_unless_asked_otherwise(monkeypatch):
    name = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
    monkeypatch.delenv(name, raising=False)
    assert environment({'robot': 'sim'})[name] == 'LOCALHOST'
    assert name not in environment({'robot': 'g1'})
    assert name not in environment({'robot': 'sim', 'machine': 'workstation'})
    monkeypatch.setenv(name, 'SUBNET')
    assert name not in environment({'robot': 'sim'})


def test_the_middleware_keeps_to_the_network_interface_named(monkeypatch):
    for name in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'CYCLONEDDS_URI', 'G1_NETWORK_INTERFACE'):
        monkeypatch.delenv(name, raising=False)
    values = check(find('robot.launch.py'), {'robot': 'g1', 'network_interface': 'lo'})
    wanted = environment(values)
    assert wanted['G1_NETWORK_INTERFACE'] == 'lo'
    for name in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'CYCLONEDDS_URI'):
        path = wanted[name].removeprefix('file://')
        assert '${G1_NETWORK_INTERFACE}' in Path(path).read_text()
    assert set(environment({'robot': 'g1'})) == {'FASTRTPS_DEFAULT_PROFILES_FILE'}


def test_an_unknown_command_shows_the_commands(capsys):
    assert cli.main(['dance']) == 2
    assert 'launch FILE' in capsys.readouterr().err
    assert cli.main(['--help']) == 0


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['launch', '--help'], ['policy.launch.py', 'The policy runs a task', '--show-args']),
        (['launch', 'sim.launch.py', '--help'], ['The simulated robot alone', "'seed'"]),
        (['arm', '--help'], ['weight', 'g1 check', 'control/arm']),
        (['estop', '--help'], ['Latched', 'g1 reset']),
        (['--help'], ['dataset replay', 'g1 COMMAND --help']),
    ],
)
def test_help_is_help(words, said, capsys):
    try:
        assert cli.main(words) == 0
    except SystemExit as ended:
        assert ended.code == 0
    shown = ' '.join(capsys.readouterr().out.split())
    assert all(text in shown for text in said), shown
