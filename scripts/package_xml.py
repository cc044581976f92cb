"""Compares every package.xml with what the package's modules and tests import, or fills it in.

python scripts/package_xml.py            says what is missing or unused; exit code 1 if anything
python scripts/package_xml.py --write    writes exec_depend and test_depend anew
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / 'src'
PACKAGES = sorted(path.parent.name for path in SRC.glob('*/package.xml'))
PYTHON_PACKAGES = sorted(path.parent.name for path in SRC.glob('*/*/__init__.py'))

#: What Python imports under one name and rosdep knows under another.
_ROSDEP = {
    'PIL': 'python3-pil',
    'coal': 'pinocchio',  # which is built on it
    'filelock': 'python3-filelock',
    'hypothesis': 'python3-hypothesis',
    'matplotlib': 'python3-matplotlib',
    'msgpack': 'python3-msgpack',
    'numpy': 'python3-numpy',
    'psutil': 'python3-psutil',
    'pytest': 'python3-pytest',
    'rich': 'python3-rich',
    'sklearn': 'python3-sklearn',
    'websockets': 'python3-websockets',
    'yaml': 'python3-yaml',
    'zmq': 'python3-zmq',
}
#: Packages of ROS, or known to rosdep, by the name Python imports.
_SAME_NAME = {
    *(
        'action_msgs',
        'ament_index_python',
        'builtin_interfaces',
        'diagnostic_msgs',
        'dynamixel_sdk',
    ),
    *('geometry_msgs', 'launch', 'launch_ros', 'lifecycle_msgs', 'pinocchio', 'rcl_interfaces'),
    *(
        'rclpy',
        'rosgraph_msgs',
        'rosidl_generator_py',
        'rosidl_runtime_py',
        'sensor_msgs',
        'std_msgs',
        'std_srvs',
    ),
    *('tf2_msgs', 'trajectory_msgs', 'visualization_msgs'),
    *PACKAGES,
}
#: Not known to rosdep under any name: `requirements/` has them.
FROM_PYPI = {
    *(
        'accelerate',
        'av',
        'daqp',
        'gymnasium',
        'diffusers',
        'grpc',
        'honcho',
        'huggingface_hub',
        'libero',
        'mcap',
        'mcap_ros2',
    ),
    *(
        'mujoco',
        'pink',
        'proxsuite',
        'pyarrow',
        'pyrealsense2',
        'qpsolvers',
        'robocasa_gr1',
        'robosuite',
        'rosbags',
    ),
    *('safetensors', 'setuptools', 'tokenizers', 'torch', 'transformers', 'unitree_sdk2py'),
    *('viser', 'xrobotoolkit_sdk'),
}
#: Packages whose nodes or launch files g1_bringup starts, beside those its descriptions name.
_STARTED = {'g1_bringup': {'ros2launch'}}


def imports(folder: Path) -> set[str]:
    """Top-level names that the modules below a folder import, the standard library left out."""
    names = set()
    for path in folder.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split('.')[0])
    return names - set(sys.stdlib_module_names)


def unknown(package: str) -> set[str]:
    """Imports that neither rosdep nor `requirements/` has, as far as this file knows."""
    return imports(SRC / package / package) - set(_ROSDEP) - _SAME_NAME - FROM_PYPI


def wanted(package: str) -> tuple[set[str], set[str]]:
    """The keys that the package, and beside them its tests, need.

    Of the packages here, tests use some that stand on theirs. Declared, those would be circles, in
    which colcon finds no order; they are all in one repository and built together.
    """
    needed = _keys(imports(SRC / package / package)) | _started(package)
    tests = _keys(imports(SRC / package / 'test')) | {'python3-pytest'}
    cmake = SRC / package / 'CMakeLists.txt'
    if cmake.exists() and 'ament_cmake_pytest' in cmake.read_text():
        tests.add('ament_cmake_pytest')
    return needed - {package}, tests - needed - set(PACKAGES)


def declared(package: str) -> tuple[set[str], set[str]]:
    """The keys that package.xml has: to run, and to test."""
    root = ElementTree.parse(SRC / package / 'package.xml').getroot()

    def keys(*tags: str) -> set[str]:
        return {(element.text or '').strip() for element in root if element.tag in tags}

    return keys('depend', 'exec_depend'), keys('test_depend')


def faults(package: str) -> list[str]:
    """What is missing or unused, in words."""
    found = []
    for kind, have, need in zip(
        ('exec_depend', 'test_depend'), declared(package), wanted(package), strict=True
    ):
        found += [f'{package}: {kind} {key} is missing' for key in sorted(need - have)]
        found += [f'{package}: {kind} {key} is not used' for key in sorted(have - need)]
    return found


def write(package: str) -> None:
    """Both kinds anew, in alphabetical order, where the first of them stood."""
    path = SRC / package / 'package.xml'
    text = path.read_text()
    needed, tests = wanted(package)
    lines = [f'  <exec_depend>{key}</exec_depend>\n' for key in sorted(needed)]
    lines += ['\n', *(f'  <test_depend>{key}</test_depend>\n' for key in sorted(tests))]
    first = text.index('  <exec_depend>') if '<exec_depend>' in text else text.index('  <test_d')
    head, rest = text[:first], text[first:]
    rest = re.sub(r'  <(exec|test)_depend>[^<]*</(exec|test)_depend>\n', '', rest).lstrip('\n')
    path.write_text(head + ''.join(lines) + '\n' + rest)


def _keys(names: set[str]) -> set[str]:
    return {_ROSDEP.get(name, name) for name in names if name in _ROSDEP or name in _SAME_NAME}


def _started(package: str) -> set[str]:
    """What g1_bringup's descriptions name: the packages of nodes and of included launch files."""
    if package not in _STARTED:
        return set()
    named = _STARTED[package].copy()
    for path in (SRC / package / package / 'systems').glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, 'id', '') in ('Node', 'Include'):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    named.add(str(first.value))
    return named


def main() -> int:
    """Returns 1 when something is missing or unused, and was not written."""
    parser = argparse.ArgumentParser(description='Compare package.xml with the imports.')
    parser.add_argument('--write', action='store_true', help='write exec_depend and test_depend')
    if parser.parse_args().write:
        for package in PYTHON_PACKAGES:
            write(package)
    found = [fault for package in PYTHON_PACKAGES for fault in faults(package)]
    print('\n'.join(found) or 'package.xml and imports agree')
    return bool(found)


if __name__ == '__main__':
    sys.exit(main())
