"""`rviz.launch.py`, and its nodes where another system shows them too."""

from __future__ import annotations

from g1_bringup.system import Argument, Computed, Condition, Config, Node, System

RVIZ = Argument('rviz', False, 'Show robot, camera, planned motion and safety state in rviz2.')
RVIZ_ON: Condition = (('rviz', 'true'),)


def describe() -> System:
    """The view alone, of a system that another launch file started."""
    return System('rviz', 'A view of a system that is already running.', (), rviz_nodes())


def rviz_nodes(when: Condition = ()) -> tuple[Node, ...]:
    """A person may close the window: none of these stops the system."""
    return (
        Node(
            'robot_state_publisher',
            'robot_state_publisher',
            parameters=(('robot_description', Computed('g1_description.urdf:urdf')),),
            when=when,
            required=False,
        ),
        Node('g1_console', 'plan_markers', when=when, required=False),
        Node(
            'rviz2',
            'rviz2',
            arguments=('-d', Config('rviz/g1.rviz')),
            when=when,
            required=False,
        ),
    )
