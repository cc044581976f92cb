from setuptools import find_packages, setup

package_name = 'g1_teleop'

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
    description='The operator: XR devices, retargeting, teleop_node.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'replay_node = g1_teleop.nodes.replay_node:main',
            'teleop_node = g1_teleop.nodes.teleop_node:main',
            'xrobotoolkit_node = g1_teleop.nodes.xrobotoolkit_node:main',
        ]
    },
)
