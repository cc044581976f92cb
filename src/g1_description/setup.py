import os
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from setuptools import find_packages, setup

package_name = 'g1_description'


def meshes() -> list[str]:
    """The robot's meshes, which come with example-robot-data; none in a build without it."""
    try:
        found = files('example-robot-data') or []
    except PackageNotFoundError:
        return []
    return [
        os.path.relpath(str(file.locate()), Path(__file__).parent)  # colcon wants them relative
        for file in found
        if 'g1_description/meshes' in str(file) and file.suffix.lower() == '.stl'
    ]


setup(
    name=package_name,
    version='0.2.0',
    packages=find_packages(exclude=['test']),
    package_data={package_name: ['py.typed', 'embodiments/*.yaml']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + package_name]),
        ('share/' + package_name, ['package.xml']),
        ('share/' + package_name + '/meshes', meshes()),
    ],
    install_requires=['numpy', 'pyyaml', 'setuptools'],
    extras_require={'test': ['pytest']},
    zip_safe=True,
    maintainer='DiT4DiT deployment suite team',
    maintainer_email='maintainers@example.com',
    description='What the G1 with ALOHA 2 grippers is: models, joints and limits, kinematics.',
    license='Apache-2.0',
    entry_points={'console_scripts': []},
)
