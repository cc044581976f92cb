from setuptools import find_packages, setup

package_name = 'g1_sim'

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
    description='A stand-in for the hardware: MuJoCo G1 with the same topics.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'scripted_operator = g1_sim.nodes.scripted_operator:main',
            'sim_node = g1_sim.nodes.sim_node:main',
        ],
        'dit4dit.environments': [
            'g1 = g1_sim.environment:make',
        ],
        'g1.commands': [
            'camera = g1_sim.nodes.camera_command:main',
            'expert = g1_sim.expert_command:main',
            'tasks = g1_sim.contact_sheet:main',
        ],
        'g1_sim.tasks': [
            'arrange_flower = g1_sim.tasks.arrange_flower:Task',
            'box_packing = g1_sim.tasks.box_packing:Task',
            'drawer_interaction = g1_sim.tasks.drawer_interaction:Task',
            'insert_plate = g1_sim.tasks.insert_plate:Task',
            'move_spoon = g1_sim.tasks.move_spoon:Task',
            'pick_and_place = g1_sim.tasks.pick_and_place:Task',
            'pick_by_colour = g1_sim.tasks.pick_by_colour:Task',
            'stack_cups = g1_sim.tasks.stack_cups:Task',
        ],
    },
)
