"""Every package says what it is and what it needs, and no more."""

import ast
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / 'src'
PACKAGES = sorted(path.parent.name for path in SRC.glob('*/package.xml'))
PYTHON_PACKAGES = sorted(path.parent.name for path in SRC.glob('*/*/__init__.py'))
VERSION = '0.2.0'

#: What Python imports under one name and rosdep knows under another.
ROSDEP = {
    'PIL': 'python3-pil',
    'hypothesis': 'python3-hypothesis',
    'matplotlib': 'python3-matplotlib',
    'numpy': 'python3-numpy',
    'psutil': 'python3-psutil',
    'pytest': 'python3-pytest',
    'rich': 'python3-rich',
    'yaml': 'python3-yaml',
    'zmq': 'python3-zmq',
}
#: Known to rosdep, or packages of ROS, by the name Python imports.
SAME_NAME = {
    'action_msgs',
    'ament_index_python',
    'builtin_interfaces',
    'diagnostic_msgs',
    'dynamixel_sdk',
    'geometry_msgs',
    'launch',
    'launch_ros',
    'lifecycle_msgs',
    'pinocchio',
    'rcl_interfaces',
    'rclpy',
    'sensor_msgs',
    'std_msgs',
    'std_srvs',
    'trajectory_msgs',
    'visualization_msgs',
} | set(PACKAGES)
#: From PyPI alone: requirements/ has them, and no package.xml can.
PYPI = {
    *('accelerate', 'av', 'diffusers', 'honcho', 'mcap', 'mcap_ros2', 'mujoco', 'pink', 'pyarrow'),
    *('safetensors', 'tokenizers', 'torch', 'transformers', 'unitree_sdk2py', 'xrobotoolkit_sdk'),
    *('huggingface_hub', 'proxsuite', 'qpsolvers', 'setuptools'),
}


def elements(package: str, *tags: str) -> set[str]:
    root = ElementTree.parse(SRC / package / 'package.xml').getroot()
    return {(e.text or '').strip() for e in root if e.tag in tags}


def imported(folder: Path) -> set[str]:
    """Top-level names of what the modules of a folder import, the standard library left out."""
    names = set()
    for path in folder.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split('.')[0])
    return names


def rosdep_keys(names: set[str]) -> set[str]:
    return {ROSDEP.get(name, name) for name in names if name in ROSDEP or name in SAME_NAME}


def started(package: str) -> set[str]:
    """Packages whose nodes or launch files a package starts, named as text in its modules."""
    text = ''.join(path.read_text() for path in (SRC / package / package).rglob('*.py'))
    return set(re.findall(r"'([a-z0-9_]+)'", text))


@pytest.mark.parametrize('package', PYTHON_PACKAGES)
def test_package_xml_names_what_is_imported_and_nothing_else(package):
    declared = elements(package, 'depend', 'exec_depend')
    used = rosdep_keys(imported(SRC / package / package)) - {package}
    assert sorted(used - declared) == [], 'imported, but not in package.xml'
    extra = {'ros2launch'} if package == 'g1_bringup' else set()
    assert sorted(declared - used - started(package) - extra) == [], 'declared, but not used'


@pytest.mark.parametrize('package', PYTHON_PACKAGES)
def test_package_xml_names_what_the_tests_import(package):
    declared = elements(package, 'depend', 'exec_depend', 'test_depend')
    used = rosdep_keys(imported(SRC / package / 'test')) - {package}
    assert sorted(used - declared) == []


@pytest.mark.parametrize('package', PYTHON_PACKAGES)
def test_every_import_is_of_the_standard_library_or_known(package):
    import sys

    names = imported(SRC / package / package)
    assert sorted(names - set(sys.stdlib_module_names) - set(ROSDEP) - SAME_NAME - PYPI) == []


@pytest.mark.parametrize('package', PACKAGES)
def test_every_package_is_complete(package):
    folder = SRC / package
    root = ElementTree.parse(folder / 'package.xml').getroot()
    assert root.get('format') == '3'
    assert root.findtext('license') == 'Apache-2.0'
    assert root.findtext('version') == VERSION
    maintainer = root.find('maintainer')
    assert maintainer is not None
    assert re.fullmatch(r'[\w.-]+@[\w-]+(\.[\w-]+)*\.[a-z]{2,}', maintainer.get('email', ''))
    assert VERSION in (folder / 'CHANGELOG.rst').read_text()
    assert len((folder / 'README.md').read_text().split()) > 10
    if package in PYTHON_PACKAGES:
        assert list((folder / 'test').glob('test_*.py'))
    setup = folder / 'setup.py'
    if setup.exists():
        assert f"version='{VERSION}'" in setup.read_text()
        assert "extras_require={'test': ['pytest']}" in setup.read_text(), 'colcon test skips it'
