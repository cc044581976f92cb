"""The operator's motion through control's limits, at their rates, without ROS."""

import numpy as np

from g1_control.chunk_buffer import Chunk
from g1_control.controller import Controller, ControlParameters
from g1_control.safety import Mode, SafetyParameters
from g1_control.unitree import ARM_MOTORS
from g1_description import load_robot
from g1_description.kinematics import ArmKinematics
from g1_node.config import config_path
from g1_node.parameters import load
from g1_teleop.devices import HandInput, OperatorInput
from g1_teleop.retargeting import Plan, Retargeting, RetargetingParameters

ROBOT = load_robot()
ARMED_AT, ENGAGED_AT, END = 0.1, 3.0, 9.0  # [s]


def hand(since: float) -> HandInput:
    """A hand that draws a figure of 10 cm after a second of rest."""
    pose = np.eye(4)
    swing = np.clip(since - 1, 0, 1)
    pose[:3, 3] = swing * np.array(
        [0.05 * np.sin(2 * since), 0.04 * np.sin(3 * since), 0.05 * np.sin(1.7 * since)]
    )
    return HandInput(pose, grip=1.0, trigger=0.0)


def test_control_takes_every_target_and_the_hands_follow_within_a_quarter_second() -> None:
    kinematics = ArmKinematics()
    controller = Controller(
        load(ControlParameters, config_path('control.yaml')),
        load(SafetyParameters, config_path('safety.yaml')),
        ROBOT,
        kinematics,
    )
    retargeting = Retargeting(
        ROBOT, kinematics, load(RetargetingParameters, config_path('teleop.yaml'))
    )
    plan = Plan()
    pose, asked, done = ROBOT.home.copy(), [], []
    for cycle in range(round(END * 250)):
        now = 100 + cycle / 250
        since = now - 100 - ENGAGED_AT
        q = np.zeros(29)
        q[ARM_MOTORS] = pose[:14]
        controller.observe(q, 0 * q, pose[14:], now)
        if cycle == round(ARMED_AT * 250):
            assert controller.arm(now)[0]
        if since > 0 and cycle % 4 == 0:
            operator = OperatorInput(round(now * 1e9), hand(since), hand(since))
            targets = retargeting.update(operator, pose, now)
            assert targets is not None
            points = plan.add(targets, now)
            controller.receive_chunk(
                Chunk(
                    stamp=points[0][0],
                    names=ROBOT.chunk_joints,
                    times=[time - points[0][0] for time, _ in points],
                    positions=[positions for _, positions in points],
                ),
                now,
            )
        command = controller.cycle(now)
        if command.weight > 0:
            pose = np.concatenate((command.q, command.gripper))
        if since > 1:
            asked.append(hand(since).pose[:3, 3])
            done.append(kinematics.forward(pose[:14])['left'][:3, 3])

    assert controller.status.mode == Mode.ACTIVE
    assert controller.status.chunks_rejected == 0
    moved, wanted = np.array(done) - done[0], np.array(asked)
    errors = [
        np.linalg.norm(moved[delay:] - wanted[: len(wanted) - delay], axis=1).max()
        for delay in range(1, 63)  # cycles: to 0.25 s
    ]
    assert min(errors) < 0.015, f'{np.argmin(errors) * 4} ms'
