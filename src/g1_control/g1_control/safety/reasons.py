"""Modes of the arms, and why one was entered or a chunk refused."""

from __future__ import annotations

from enum import IntEnum


class Mode(IntEnum):
    """Who has the arms."""

    DISARMED = 0
    ARMING = 1
    ACTIVE = 2
    HOLD = 3
    DISARMING = 4
    ESTOP = 5


class Reason(IntEnum):
    """Why a mode was entered or a chunk refused."""

    NONE = 0
    OPERATOR = 1
    CHUNK_NOT_FINITE = 10
    CHUNK_JOINT_NAMES = 11
    CHUNK_EMPTY = 12
    CHUNK_SHAPE = 13
    CHUNK_TIMES = 14
    CHUNK_FROM_FUTURE = 15
    CHUNK_TOO_OLD = 16
    CHUNK_START_TOO_FAR = 17
    CHUNK_TOO_FAST = 18
    CHUNK_EXPIRED = 20
    POLICY_RESTARTED = 21
    LOWSTATE_STALE = 30
    LOWSTATE_LOST = 31
    TRACKING_ERROR = 32
    MOTOR_TEMPERATURE = 33
    MOTOR_ERROR = 34
    SECOND_PUBLISHER = 40
    MODE_MACHINE = 41
    ESTOP_SERVICE = 50
    ESTOP_REMOTE = 51
    GRIPPER_FAULT = 60
    DEADLINES_MISSED = 70
    SELF_COLLISION = 71
    WORKSPACE = 72
    CONTACT = 73
    WORLD_NOT_SET = 74
    WATCHDOG = 80
