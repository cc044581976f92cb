from setuptools import find_packages, setup

package_name = 'g1_cameras'

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
    description='Cameras of the robot where there is no ROS installation.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'realsense_node = g1_cameras.nodes.realsense_node:main',
            'teleimager_node = g1_cameras.nodes.teleimager_node:main',
        ]
    },
)
