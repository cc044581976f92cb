"""What the G1 with ALOHA 2 grippers is: URDF and MuJoCo model, joints and limits, kinematics."""

from g1_description.robot import Camera, Joint, Robot, load_robot

__all__ = ['Camera', 'Joint', 'Robot', 'load_robot']
