"""Who may import what: the table of rooms, enforced on the source.

`test_architecture_loaded.py` enforces it on what programs really load.
"""

import ast
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / 'src'
OURS = {path.parent.name for path in SRC.glob('*/package.xml')}
PYTHON_PACKAGES = sorted(path.parent.name for path in SRC.glob('*/*/__init__.py'))
ROS_TYPES = {
    'action_msgs',
    'builtin_interfaces',
    'diagnostic_msgs',
    'dit4dit_msgs',
    'geometry_msgs',
    'lifecycle_msgs',
    'rclpy',
    'sensor_msgs',
    'std_msgs',
    'std_srvs',
    'trajectory_msgs',
    'unitree_hg',
    'visualization_msgs',
}

#: Rooms at the end of the house: nothing else stands on them.
_ENDS = {'g1_bench', 'g1_bringup', 'g1_test_support'}
_NETWORKS = {'torch', 'diffusers', 'transformers'}
#: On the robot, or in a process beside it.
_ROBOT = _NETWORKS | _ENDS | {'dit4dit_policy', 'g1_console', 'g1_fakes', 'g1_sim', 'mujoco'}

#: What each package's room is never to hold.
NEVER = {
    'g1_description': (OURS - {'g1_description'}) | ROS_TYPES | {'mujoco', 'torch'},
    'g1_data': (OURS - {'g1_data', 'g1_description'}) | ROS_TYPES | {'torch'},
    'g1_ros': OURS - {'g1_ros', 'g1_description', 'dit4dit_msgs', 'unitree_hg'},
    'dit4dit_policy': _ENDS | {'unitree_hg', 'g1_control', 'g1_sim', 'g1_teleop', 'mujoco'},
    'dit4dit_benchmarks': (
        OURS - {'dit4dit_benchmarks', 'dit4dit_policy', 'g1_data', 'g1_description'}
    )
    | ROS_TYPES
    | _NETWORKS,
    'g1_control': _ROBOT | {'matplotlib', 'g1_teleop', 'g1_recorder'},
    'g1_teleop': _ROBOT | {'matplotlib', 'g1_recorder'},
    'g1_recorder': _ROBOT | {'matplotlib', 'g1_teleop'},
    'g1_cameras': (OURS - {'g1_cameras', 'g1_description', 'g1_ros'}) | _NETWORKS | {'mujoco'},
    'g1_sim': _NETWORKS | _ENDS | {'g1_teleop', 'g1_fakes', 'g1_console'},
    'g1_fakes': _NETWORKS | _ENDS | {'dit4dit_policy', 'g1_console'},
    'g1_console': _NETWORKS | _ENDS | {'mujoco', 'g1_sim'},
    'g1_bench': _NETWORKS | {'g1_test_support'},
    'g1_bringup': _NETWORKS | {'mujoco', 'g1_bench', 'g1_test_support'},
    'g1_test_support': _NETWORKS | {'g1_bench', 'g1_bringup'},
}

#: ROS types outside nodes/: g1_ros is made of them, the others are clients of a running system.
SPEAK_ROS = {'g1_ros', 'g1_console', 'g1_bench', 'g1_test_support'}

#: The folder of the networks knows torch and nothing of robots, files or ROS.
MODEL_NEVER = (OURS - {'dit4dit_policy'}) | ROS_TYPES | {'pyarrow', 'av', 'PIL'}


def imports(path: Path) -> set[str]:
    """Top-level names of every import in a module, wherever in it; typing-only ones too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split('.')[0])
    return names


def modules(package: str) -> list[Path]:
    return sorted((SRC / package / package).rglob('*.py'))


def relative(path: Path) -> str:
    return str(path.relative_to(SRC))


@pytest.mark.parametrize('package', PYTHON_PACKAGES)
def test_a_package_imports_only_what_its_room_allows(package):
    found = {relative(m): sorted(imports(m) & NEVER[package]) for m in modules(package)}
    assert {m: names for m, names in found.items() if names} == {}


def test_the_networks_know_torch_only():
    found = {
        relative(m): sorted(imports(m) & MODEL_NEVER)
        for m in modules('dit4dit_policy')
        if 'dit4dit_policy/model/' in relative(m)
    }
    plugins = {
        f'dit4dit_policy/dit4dit_policy/model/{name}.py': ['g1_description']
        for name in ('backbone', 'presets')
    }
    assert {m: names for m, names in found.items() if names} == plugins


@pytest.mark.parametrize('package', sorted(set(PYTHON_PACKAGES) - SPEAK_ROS))
def test_ros_types_stay_in_nodes_and_messages(package):
    outside = {
        relative(m): sorted(imports(m) & ROS_TYPES)
        for m in modules(package)
        if 'nodes' not in m.parts and m.stem != 'messages'
    }
    assert {m: names for m, names in outside.items() if names} == {}


def test_launch_files_and_parameters_have_one_home():
    def outside(pattern: str) -> list[str]:
        return [relative(p) for p in SRC.rglob(pattern) if '.venv' not in p.parts]

    assert outside('*.launch.py') == []
    assert [p for p in outside('*.yaml') if '/config/' in p] == []


def test_a_class_name_is_one_class():
    """The tasks of g1_sim are `Task` each: their module's name says which."""
    places: dict[str, list[str]] = {}
    for package in PYTHON_PACKAGES:
        for module in modules(package):
            for node in ast.walk(ast.parse(module.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
                    places.setdefault(node.name, []).append(relative(module))
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert {name: found for name, found in twice.items() if name != 'Task'} == {}
    assert {Path(found).parent.name for found in twice.get('Task', [])} <= {'tasks'}


def test_files_stay_short():
    """About 400 lines, or a file holds more than one thing."""
    long = {
        str(path.relative_to(SRC.parent)): lines
        for path in [*SRC.glob('*/*/**/*.py'), *SRC.parent.glob('test/**/*.py')]
        if (lines := len(path.read_text().splitlines())) > 420
    }
    assert long == {}


def test_modules_are_named_after_what_they_hold():
    vague = {'utils', 'util', 'helpers', 'helper', 'manager', 'base', 'common', 'misc'}
    assert [relative(p) for p in SRC.rglob('*.py') if p.stem in vague] == []


def test_all_modules_parse_on_the_oldest_python():
    """ROS 2 Jazzy is Python 3.12; the wheels go back to 3.10."""
    assert sys.version_info >= (3, 10)
    for path in SRC.rglob('*.py'):
        ast.parse(path.read_text(), feature_version=(3, 10))


def test_timers_go_on_whatever_happens_to_the_system_clock():
    """`create_timer` is the node's clock; g1_ros/timers.py is the one place that may call it."""
    found = [
        relative(m)
        for package in PYTHON_PACKAGES
        if package != 'g1_test_support'
        for m in modules(package)
        if '.create_timer(' in m.read_text() and m.name != 'timers.py'
    ]
    assert found == []
