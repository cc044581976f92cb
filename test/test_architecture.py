"""Who may import what: the table of rooms, enforced."""

import ast
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / 'src'
OURS = {
    'dit4dit_msgs',
    'dit4dit_policy',
    'g1_bringup',
    'g1_control',
    'g1_data',
    'g1_description',
    'g1_ros',
    'g1_sim',
    'g1_teleop',
    'unitree_hg',
}
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

#: What each package's room is never to hold.
NEVER = {
    'g1_description': (OURS - {'g1_description'}) | ROS_TYPES | {'mujoco', 'torch'},
    'g1_data': (OURS - {'g1_data', 'g1_description'}) | ROS_TYPES | {'torch'},
    'g1_ros': OURS - {'g1_ros', 'g1_description', 'dit4dit_msgs', 'unitree_hg'},
    'dit4dit_policy': {'unitree_hg', 'g1_control', 'g1_sim', 'g1_teleop', 'mujoco'},
    'g1_control': {'torch', 'diffusers', 'dit4dit_policy', 'g1_sim', 'mujoco', 'matplotlib'},
    'g1_teleop': {'torch', 'diffusers', 'dit4dit_policy', 'g1_sim', 'mujoco'},
    'g1_recorder': {'torch', 'diffusers', 'dit4dit_policy', 'g1_sim', 'mujoco', 'g1_teleop'},
    'g1_sim': {'torch', 'diffusers', 'g1_teleop'},
    'g1_fakes': {'torch', 'diffusers', 'dit4dit_policy'},
    'g1_console': {'torch', 'diffusers', 'mujoco', 'g1_bringup', 'g1_bench'},
    'g1_bench': {'torch', 'diffusers'},
    'g1_bringup': {'torch', 'diffusers', 'mujoco'},
}

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
        if '/model/' in str(m)
    }
    assert {m: names for m, names in found.items() if names} == {}


@pytest.mark.parametrize(
    'package', sorted(set(PYTHON_PACKAGES) - {'g1_ros', 'g1_console', 'g1_bench'})
)
def test_ros_types_stay_in_nodes_and_messages(package):
    """g1_ros is made of them; g1_console and g1_bench are clients of the running system."""
    outside = {
        relative(m): sorted(imports(m) & ROS_TYPES)
        for m in modules(package)
        if 'nodes' not in m.parts and m.stem != 'messages'
    }
    assert {m: names for m, names in outside.items() if names} == {}


@pytest.mark.parametrize('package', PYTHON_PACKAGES)
def test_package_xml_names_what_is_imported(package):
    root = ElementTree.parse(SRC / package / 'package.xml').getroot()
    declared = {e.text for e in root if e.tag in ('depend', 'exec_depend', 'build_depend')}
    used = set().union(*(imports(m) for m in modules(package))) & (OURS | ROS_TYPES)
    assert used - declared - {package, 'ament_index_python'} == set()


@pytest.mark.parametrize('package', sorted(OURS))
def test_every_package_is_complete(package):
    folder = SRC / package
    root = ElementTree.parse(folder / 'package.xml').getroot()
    assert root.get('format') == '3'
    assert root.findtext('license') == 'Apache-2.0'
    assert (folder / 'CHANGELOG.rst').is_file()
    if package in PYTHON_PACKAGES:
        assert list((folder / 'test').glob('test_*.py'))


def test_launch_files_and_parameters_have_one_home():
    def outside(pattern: str) -> list[str]:
        return [relative(p) for p in SRC.rglob(pattern) if '.venv' not in p.parts]

    assert outside('*.launch.py') == []
    assert [p for p in outside('*.yaml') if '/config/' in p] == []


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
