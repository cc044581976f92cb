from setuptools import find_packages, setup

package_name = 'g1_description'

setup(
    name=package_name,
    version='0.2.0',
    packages=find_packages(exclude=['test']),
    package_data={package_name: ['py.typed', 'embodiments/*.yaml']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + package_name]),
        ('share/' + package_name, ['package.xml']),
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
