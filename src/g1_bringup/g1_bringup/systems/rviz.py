"""`rviz.launch.py`, and its nodes where another system shows them too."""

from __future__ import annotations

from dataclasses import replace

from g1_bringup.system import Argument, Condition, Config, Node, System

RVIZ = Argument('rviz', False, 'Show robot, camera, planned motion and safety state in rviz2.')
RVIZ_ON: Condition = (('rviz', 'true'),)


def describe() -> System:
    """The view alone, of a system that another launch file started."""
    *others, window = rviz_nodes()
    nodes = (*others, replace(window, required=True))  # closing it ends all
    return System('rviz', 'A view of a system that is already running.', (), nodes)


def rviz_nodes(when: Condition = ()) -> tuple[Node, ...]:
    """A person may close the window: none of these stops the system.

    /robot_description and /tf come from the system of the robot; see `robot_side`.
    """
    return (
        Node('g1_console', 'plan_markers', when=when, required=False),
        Node(
            'rviz2',
            'rviz2',
            arguments=('-d', Config('rviz/g1.rviz')),
            when=when,
            required=False,
        ),
    )
