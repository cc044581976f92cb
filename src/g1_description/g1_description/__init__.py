"""What a robot is: its embodiment, joints, URDF and kinematics."""

from g1_description.embodiment import Camera, Embodiment, Group, load_embodiment
from g1_description.robot import SIDES, Joint, Robot, Side, load_robot

__all__ = [
    'SIDES',
    'Camera',
    'Embodiment',
    'Group',
    'Joint',
    'Robot',
    'Side',
    'load_embodiment',
    'load_robot',
]
