"""What the G1 with ALOHA 2 grippers is: URDF and MuJoCo model, joints and limits, kinematics."""
