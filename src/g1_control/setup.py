from setuptools import find_packages, setup

package_name = 'g1_control'

setup(
    name=package_name,
    version='0.2.0',
    packages=find_packages(exclude=['test']),
    package_data={package_name: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + package_name]),
        ('share/' + package_name, ['package.xml']),
    ],
    install_requires=['setuptools'],
    extras_require={'test': ['pytest']},
    zip_safe=True,
    maintainer='DiT4DiT deployment suite team',
    maintainer_email='maintainers@example.com',
    description='Turns action chunks into safe motion of the G1 arms and grippers.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'control_node = g1_control.nodes.control_node:main',
            'watchdog = g1_control.nodes.watchdog:main',
            'gripper_node = g1_control.nodes.gripper_node:main',
            'no_grippers = g1_control.nodes.no_grippers:main',
        ]
    },
)
