"""The pre-flight list on made-up snapshots: what passes, what is found, what is advised."""

import json
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from dit4dit_msgs.msg import PolicyStatus, SafetyStatus

from g1_console import check
from g1_console.computer import read_checkpoint, read_computer, shipped_checkpoint
from g1_console.preflight import CHECKS, Level, findings, passed
from g1_console.snapshot import Checkpoint, Computer, Diagnostic, Picture, Snapshot, Topic, Wire
from g1_control.safety import SafetyParameters, free_safety, unset
from g1_description import SIDES, load_robot

ROBOT = load_robot()
COLD = np.full(29, 35)
NO_ERRORS = np.zeros(29, int)


def control_loop(**values):
    return {'control_node: control': Diagnostic('following', values)}


WORLD_NOT_SET = SafetyStatus(
    mode=SafetyStatus.DISARMED, reason=SafetyStatus.WORLD_NOT_SET, text='DISARMED: no table'
)
FINE = Snapshot(
    robot='g1',
    machine='both',
    limits=free_safety(),
    topics=MappingProxyType(
        {
            'lowstate': Topic((), 500.0, 0.002),
            'arm_sdk': Topic(('control_node',)),
            'joint_states': Topic(('control_node',), 125.0, 0.005, 0.001),
            'camera/camera/color/image_raw': Topic(('camera',), 30.0, 0.02, 0.03),
            'camera/camera/color/camera_info': Topic(('camera',), 30.0, 0.02, 0.03),
            'policy/action_chunk': Topic(('policy_node',), 5.0, 0.1, 0.15),
            'control/safety_status': Topic(('control_node',), 10.0, 0.05, 0.001),
            'policy/status': Topic(('policy_node',), 5.0, 0.1, 0.002),
            'left_gripper/state': Topic(('gripper_node',), 100.0, 0.01, 0.001),
            'right_gripper/state': Topic(('gripper_node',), 100.0, 0.01, 0.001),
        }
    ),
    computer=Computer(
        addresses={'lo': '127.0.0.1', 'eth0': '192.168.123.222'},
        real_time=True,
        disk_free=200_000_000_000,
        receive_buffer=16_000_000,
        fragment_time=1,
        ports={'left': ('/dev/ttyUSB0', ''), 'right': ('/dev/ttyUSB1', '')},
    ),
    checkpoint=Checkpoint('/somewhere/mine', '', ROBOT.action_joints, True, ('arrange_flower',)),
    wire=Wire(5, COLD, NO_ERRORS),
    safety=SafetyStatus(mode=SafetyStatus.DISARMED, text='DISARMED: nobody armed yet'),
    policy=PolicyStatus(
        state=PolicyStatus.IDLE, text='waiting for a task', model_id='mine', trained=True
    ),
    picture=Picture(640, 480, 'rgb8'),
    joints=ROBOT.state_joints,
    gripper_faults={'left': '', 'right': ''},
    diagnostics=control_loop(rate='250', jitter_p99_ms='0.3'),
)


def heard(name, **changes):
    return {'topics': {**FINE.topics, name: replace(FINE.topics[name], **changes)}}


def silent(name, publishers=()):
    return {'topics': {**FINE.topics, name: Topic(publishers)}}


def computer(**changes):
    return {'computer': replace(FINE.computer, **changes)}


def one(value, index):
    changed = np.array(COLD if value > 1 else NO_ERRORS)
    changed[index] = value
    return changed


def test_a_robot_that_is_ready_passes_every_check():
    results = findings(FINE)
    assert [f for f in results if f.level is not Level.PASS] == []
    assert len(results) == len(CHECKS) - 4 - 1  # no two sources of anything, one computer


TWO_ROBOTS = ('sim_node', 'sim_node')
CASES = [
    ('robot network', Level.FAIL, 'sudo ip address add', computer(addresses={'lo': '127.0.0.1'})),
    ('/lowstate', Level.FAIL, 'switch the robot on', silent('lowstate')),
    ('/lowstate', Level.FAIL, 'middleware', silent('lowstate', ('robot',))),
    ('/lowstate', Level.FAIL, 'cable', heard('lowstate', age=0.3)),
    ('/lowstate', Level.WARN, '500 Hz', heard('lowstate', rate=300.0)),
    ('who publishes /lowstate', Level.FAIL, 'but one', heard('lowstate', publishers=TWO_ROBOTS)),
    ('CRC of /lowstate', Level.FAIL, 'type', {'wire': Wire(5, COLD, NO_ERRORS, corrupt=True)}),
    ('mode_machine', Level.FAIL, '29-DoF', {'wire': Wire(2, COLD, NO_ERRORS)}),
    ('motor temperature', Level.WARN, 'cool', {'wire': Wire(5, one(75, 18), NO_ERRORS)}),
    ('motor temperature', Level.FAIL, 'cool', {'wire': Wire(5, one(90, 18), NO_ERRORS)}),
    ('motor errors', Level.FAIL, 'off and on', {'wire': Wire(5, COLD, one(1, 18))}),
    ('motor errors', Level.WARN, 'off and on', {'wire': Wire(5, COLD, one(1, 3))}),
    ('left gripper', Level.FAIL, 'gripper_node', silent('left_gripper/state')),
    ('right gripper', Level.FAIL, 'USB', {'gripper_faults': {'right': 'overload'}}),
    (
        'left gripper port',
        Level.FAIL,
        'dialout',
        computer(ports={'left': ('/dev/ttyUSB0', 'is not there')}),
    ),
    ('camera', Level.FAIL, 'realsense', silent('camera/camera/color/image_raw')),
    ('camera', Level.FAIL, 'rmem_max', silent('camera/camera/color/image_raw', ('camera',))),
    ('camera', Level.FAIL, 'rgb8', {'picture': Picture(640, 480, '16UC1')}),
    ('camera', Level.WARN, '640x480x30', {'picture': Picture(1280, 720, 'rgb8')}),
    ('image age', Level.FAIL, '200 ms', heard('camera/camera/color/image_raw', offset=0.4)),
    ('image age', Level.FAIL, 'global_time', heard('camera/camera/color/image_raw', offset=1.8e9)),
    ('camera_info', Level.WARN, 'intrinsics', silent('camera/camera/color/camera_info')),
    ('world around', Level.FAIL, 'anew', {'limits': SafetyParameters()}),
    ('world around', Level.FAIL, 'anew', {'limits': SafetyParameters(world_off=['tables'])}),
    ('world around', Level.FAIL, 'anew', {'safety': WORLD_NOT_SET}),
    ('control_node', Level.FAIL, 'robot.launch.py', {'safety': None}),
    ('control_node', Level.FAIL, 'g1 reset', {'safety': SafetyStatus(mode=SafetyStatus.ESTOP)}),
    (
        'watchdog',
        Level.FAIL,
        'does not arm without it',
        {'safety': SafetyStatus(mode=SafetyStatus.DISARMED, watchdog_age=-1.0)},
    ),
    ('control_node', Level.WARN, 'g1 disarm', {'safety': SafetyStatus(mode=SafetyStatus.HOLD)}),
    (
        'control loop',
        Level.WARN,
        'too busy',
        {'diagnostics': control_loop(rate='240', jitter_p99_ms='9')},
    ),
    ('/joint_states', Level.FAIL, 'both grippers', silent('joint_states')),
    ('/joint_states', Level.FAIL, '31', {'joints': ROBOT.state_joints[:29]}),
    (
        'who commands /arm_sdk',
        Level.FAIL,
        'refuses to arm',
        heard('arm_sdk', publishers=('control_node', '_CREATED_BY_BARE_DDS_APP_')),
    ),
    (
        'who commands /arm_sdk',
        Level.FAIL,
        'refuses to arm',
        heard('arm_sdk', publishers=('control_node', 'control_node')),
    ),
    ('real-time permission', Level.WARN, 'limits.conf', computer(real_time=False)),
    ('checkpoint', Level.FAIL, 'model.safetensors', {'checkpoint': Checkpoint('/x', 'nothing')}),
    (
        'checkpoint',
        Level.FAIL,
        'g1_aloha.yaml',
        {'checkpoint': Checkpoint('/x', '', ROBOT.action_joints[::-1], True)},
    ),
    (
        'checkpoint',
        Level.WARN,
        'purpose',
        {'checkpoint': Checkpoint('/x', '', ROBOT.action_joints)},
    ),
    (
        'checkpoint',
        Level.WARN,
        'tasks.yaml',
        {'checkpoint': Checkpoint('/x', '', ROBOT.action_joints, True, ('juggle',))},
    ),
    ('policy_node', Level.WARN, 'workstation', {'policy': None}),
    (
        'policy_node',
        Level.WARN,
        'no image',
        {'policy': PolicyStatus(state=PolicyStatus.WAITING, text='no image yet', trained=True)},
    ),
    (
        'policy_node',
        Level.FAIL,
        'CUDA',
        {'policy': PolicyStatus(state=PolicyStatus.ERROR, text='CUDA: no memory', trained=True)},
    ),
    (
        'policy_node',
        Level.WARN,
        'a task it knows: arrange_flower',
        {'policy': PolicyStatus(model_id='mine', task='move_spoon', trained=True)},
    ),
    (
        'who sends action_chunk',
        Level.FAIL,
        'shadow:=true',
        heard('policy/action_chunk', publishers=('policy_node', 'policy_node')),
    ),
    ('clocks', Level.WARN, 'chrony', heard('policy/status', offset=0.03)),
    ('clocks', Level.FAIL, 'chrony', heard('policy/status', offset=-0.2)),
    ('disk space', Level.WARN, 'old runs', computer(disk_free=5_000_000_000)),
    ('disk space', Level.FAIL, 'old runs', computer(disk_free=10_000)),
    ('network buffers', Level.WARN, 'rmem', {'machine': 'robot'} | computer(receive_buffer=212992)),
    ('network buffers', Level.WARN, 'ipfrag', {'machine': 'robot'} | computer(fragment_time=30)),
]


@pytest.mark.parametrize(('name', 'level', 'advice', 'changes'), CASES)
def test_what_is_wrong_is_found_with_what_mends_it(name, level, advice, changes):
    results = findings(replace(FINE, **changes))
    found = {f.check: f for f in results}[name]
    assert found.level is level, found
    assert advice in found.remedy
    assert passed(results) == (level is not Level.FAIL)


def test_nothing_at_all_running_fails_and_says_how_to_start():
    nothing = replace(
        FINE,
        topics={},
        wire=None,
        safety=None,
        policy=None,
        picture=None,
        joints=(),
        diagnostics={},
    )
    results = findings(nothing)
    failed = {f.check for f in results if f.level is Level.FAIL}
    assert failed >= {'/lowstate', 'camera', 'control_node', 'left gripper', 'right gripper'}
    assert all(f.remedy for f in results if f.level is not Level.PASS)


def test_a_simulation_needs_neither_the_robots_network_nor_its_ports():
    checks = {f.check for f in findings(replace(FINE, robot='sim', **computer(addresses={})))}
    assert not checks & {'robot network', 'left gripper port', 'right gripper port'}


def test_the_world_around_is_told_as_arming_tells_it():
    unset_world = SafetyParameters()
    found = {f.check: f.found for f in findings(replace(FINE, limits=unset_world))}
    assert found['world around'] == unset(unset_world)
    assert 'config/safety.yaml' in found['world around']
    elsewhere = replace(FINE, limits=unset_world)
    for asked in (replace(elsewhere, robot='sim'), replace(elsewhere, machine='workstation')):
        results = findings(asked)
        assert 'world around' not in {f.check for f in results}


def test_each_machine_answers_for_its_own():
    workstation = {f.check for f in findings(replace(FINE, machine='workstation'))}
    assert not workstation & {'left gripper port', 'real-time permission'}
    robot = {f.check for f in findings(replace(FINE, machine='robot', policy=None))}
    assert not robot & {'checkpoint', 'policy_node'}


def test_the_arms_alone_need_no_port_and_no_camera():
    states = {f'{side}_gripper/state': Topic(('no_grippers',), 50.0, 0.01) for side in SIDES}
    camera = silent('camera/camera/color/image_raw')['topics']
    alone = replace(FINE, machine='robot', topics={**camera, **states})
    results = {f.check: f.level for f in findings(alone)}
    assert not results.keys() & {'left gripper port', 'right gripper port'}
    assert results['camera'] is Level.WARN


def test_programs_and_people_get_the_same_list():
    results = findings(replace(FINE, safety=None))
    content = json.loads(json.dumps(check.as_json('g1', results)))
    assert content['passed'] is False
    assert [c['check'] for c in content['checks']] == [f.check for f in results]
    assert check.table('g1', results).row_count == len(results)
    told = '\n'.join(check.remedies(results))
    assert all(f.remedy in told for f in results)


def test_the_shipped_checkpoint_fits_and_an_empty_folder_is_none(tmp_path):
    shipped = read_checkpoint(shipped_checkpoint())
    assert (shipped.problem, shipped.joints) == ('', ROBOT.action_joints)
    assert 'config.json' in read_checkpoint(tmp_path).problem
    for name in ('config.json', 'model.safetensors', 'processor.json'):
        (tmp_path / name).write_text('{}')
    assert read_checkpoint(tmp_path).problem


def test_this_computer_is_seen(tmp_path):
    missing, plain = tmp_path / 'nothing', tmp_path / 'port'
    plain.touch()
    seen = read_computer({'left': str(missing), 'right': str(plain)})
    assert seen.addresses['lo'] == '127.0.0.1'
    assert seen.disk_free > 0 and seen.receive_buffer > 0
    assert seen.ports == {'left': (str(missing), 'is not there'), 'right': (str(plain), '')}
