from setuptools import find_packages, setup

package_name = 'g1_data'

setup(
    name=package_name,
    version='0.2.0',
    packages=find_packages(exclude=['test']),
    package_data={package_name: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + package_name]),
        ('share/' + package_name, ['package.xml']),
    ],
    install_requires=[
        'av',
        'g1_description',
        'numpy',
        'pillow',
        'pyarrow',
        'rich',
        'rosbags',
        'setuptools',
    ],
    extras_require={'test': ['pytest']},
    zip_safe=True,
    maintainer='DiT4DiT deployment suite team',
    maintainer_email='maintainers@example.com',
    description='Episodes on disk: LeRobot v2.1 writer and reader, statistics, v3.0 conversion.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [],
        'g1.commands': [
            'dataset = g1_data.cli:main',
        ],
    },
)
