"""What the controller answers: commands, its status, and what became of a chunk. No ROS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from g1_control.safety import Mode, Reason
from g1_description.control_source import ControlSource

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Command:
    """What the arms are told: (14,) each, left then right; gripper (2,) finger openings [m].

    weight: of arm_sdk, 0 to 1. on_wire: False when nothing is to be sent.
    """

    on_wire: bool
    weight: float
    q: Array
    dq: Array
    tau: Array
    kp: Array
    kd: Array
    gripper: Array


@dataclass(frozen=True)
class Status:
    """As dit4dit_msgs/SafetyStatus; ages in s, negative before the first one."""

    mode: Mode
    reason: Reason
    text: str
    limiting_joint: str
    weight: float
    lowstate_age: float
    chunk_age: float
    chunks_accepted: int
    chunks_rejected: int
    clamped: int
    holds: int
    deadlines_missed: int
    rejection_reason: Reason
    rejection_text: str
    source: ControlSource


class ChunkOutcome(Enum):
    """What was done with a chunk."""

    ACCEPTED = 'accepted'  # it is followed from now on
    IGNORED = 'ignored'  # nobody follows chunks at present; nothing is wrong with it
    REJECTED = 'rejected'  # refused whole; the motion goes on without it


@dataclass(frozen=True)
class ChunkAnswer:
    """What became of a chunk, and why: `joint` is the one to blame, empty if none.

    reason: NONE where accepted; of an ignored one, why chunks are not followed.
    """

    outcome: ChunkOutcome
    reason: Reason = Reason.NONE
    text: str = ''
    joint: str = ''

    @property
    def accepted(self) -> bool:
        """Whether it is followed from now on."""
        return self.outcome is ChunkOutcome.ACCEPTED
