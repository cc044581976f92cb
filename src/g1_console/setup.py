from setuptools import find_packages, setup

package_name = 'g1_console'

setup(
    name=package_name,
    version='0.2.0',
    packages=find_packages(exclude=['test']),
    package_data={package_name: ['py.typed', 'web/*.html']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + package_name]),
        ('share/' + package_name, ['package.xml']),
        ('bin', ['bin/g1']),
    ],
    install_requires=['setuptools'],
    extras_require={'test': ['pytest']},
    zip_safe=True,
    maintainer='DiT4DiT deployment suite team',
    maintainer_email='maintainers@example.com',
    description='What a person looks at and presses: the command g1, plan markers, shadow report.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'plan_markers = g1_console.nodes.plan_markers:main',
            'shadow_node = g1_console.nodes.shadow_node:main',
            'console_node = g1_console.nodes.console_node:main',
            'module_node = g1_console.module_node:main',
        ],
        'g1.commands': [
            'check = g1_console.check:main',
            'status = g1_console.status:main',
            'console = g1_console.console:main',
            'browse = g1_console.browse:main',
            'replay = g1_console.episode_replay:main',
            'recorder = g1_console.recorder:main',
            'grippers = g1_console.grippers:main',
        ],
    },
)
