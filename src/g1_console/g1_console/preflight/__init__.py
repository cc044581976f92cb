"""The pre-flight list: each check a small function of a snapshot, and what to do when it fails.

A check returns None where it does not apply: to a simulation, to the other machine, or to something
whose absence another check reports.
"""

from __future__ import annotations

from g1_console.preflight.control import (
    arm_sdk,
    control,
    control_loop,
    joint_states,
    real_time,
    watchdog,
    world,
)
from g1_console.preflight.devices import camera, camera_info, gripper, gripper_port, image_age
from g1_console.preflight.finding import Check, Finding, Level
from g1_console.preflight.policy import checkpoint, policy, single_source
from g1_console.preflight.robot import (
    lowstate,
    lowstate_content,
    mode_machine,
    motor_errors,
    motor_temperature,
    network,
    one_robot,
)
from g1_console.preflight.this_computer import clocks, disk, network_buffers
from g1_console.snapshot import CHUNKS, IMAGE, JOINT_STATES, SIDES, Snapshot

CHECKS: tuple[Check, ...] = (
    network,
    lowstate,
    one_robot,
    lowstate_content,
    mode_machine,
    motor_temperature,
    motor_errors,
    *(check(side) for side in SIDES for check in (gripper_port, gripper)),
    camera,
    image_age,
    camera_info,
    *(single_source(name) for name in (IMAGE, JOINT_STATES, CHUNKS)),
    control,
    world,
    control_loop,
    joint_states,
    arm_sdk,
    watchdog,
    real_time,
    checkpoint,
    policy,
    clocks,
    network_buffers,
    disk,
)


def findings(snapshot: Snapshot) -> list[Finding]:
    """Of every check that applies."""
    return [finding for check in CHECKS if (finding := check(snapshot)) is not None]


def passed(results: list[Finding]) -> bool:
    """Whether nothing keeps the arms from being moved."""
    return all(finding.level is not Level.FAIL for finding in results)
