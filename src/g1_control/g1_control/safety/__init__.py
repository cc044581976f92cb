"""The last thing before the wire: which chunks are refused, how joints may go, who moves.

Pure: no ROS, time is an argument [s]. Nothing moves until somebody arms; every fault ends in
holding still or in handing the arms back to the robot. Reason codes are those of
dit4dit_msgs/SafetyStatus.
"""

from g1_control.safety.chunk_checks import ChunkRejectedError, check_chunk, check_start
from g1_control.safety.limits import Limits
from g1_control.safety.mode_machine import ModeMachine
from g1_control.safety.parameters import SafetyParameters, free_safety, simulated_safety
from g1_control.safety.reasons import Mode, Reason
from g1_control.safety.robot_faults import Measured, RobotFault, find_fault
from g1_control.safety.world import Wall, unset, walls

__all__ = [
    'ChunkRejectedError',
    'Limits',
    'Measured',
    'Mode',
    'ModeMachine',
    'Reason',
    'RobotFault',
    'SafetyParameters',
    'Wall',
    'check_chunk',
    'check_start',
    'find_fault',
    'free_safety',
    'simulated_safety',
    'unset',
    'walls',
]
