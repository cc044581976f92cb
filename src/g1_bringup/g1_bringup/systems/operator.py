"""What turns an operator's hands into targets, and what records what happens."""

from __future__ import annotations

from g1_bringup.system import Argument, Given, Node

TELEOP_NODE = Node('g1_teleop', 'teleop_node', config=('teleop.yaml',))
RECORDER_NODE = Node(
    'g1_recorder',
    'recorder_node',
    config=('teleop.yaml',),
    parameters=(
        ('task', Given('task')),
        ('dataset', Given('dataset')),
        ('episodes_goal', Given('episodes')),
        ('cameras', Given('cameras')),
        ('keep_last', Given('keep_last')),
    ),
)
RECORDER_ARGUMENTS = (
    Argument('dataset', '', 'Folder of the dataset; empty: the one in teleop.yaml.'),
    Argument(
        'keep_last',
        0.0,
        'Seconds that the recorder has in memory while nothing is recorded; recorder/keep saves '
        'them.',
        minimum=0.0,
        maximum=300.0,
    ),
    Argument('episodes', 200, 'How many episodes it is to have.', minimum=1, maximum=100000),
)
