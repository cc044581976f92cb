"""What can be known of a running system and this computer at one moment, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from dit4dit_msgs.msg import EpisodeStatus, PolicyStatus, SafetyStatus
from numpy.typing import NDArray

from g1_control.safety import SafetyParameters

#: Topics of the system, as named everywhere.
LOWSTATE, ARM_SDK, JOINT_STATES = 'lowstate', 'arm_sdk', 'joint_states'
IMAGE, CAMERA_INFO = 'camera/camera/color/image_raw', 'camera/camera/color/camera_info'
CHUNKS, SAFETY, POLICY = 'policy/action_chunk', 'control/safety_status', 'policy/status'
RECORDER = 'recorder/status'
SIDES = ('left', 'right')


@dataclass(frozen=True)
class Topic:
    """A topic as heard for a while; `rate` [Hz] is 0 with fewer than two messages.

    age: since the newest came [s]. offset: the shortest time from a message's stamp to its arrival
    [s], None where messages have no stamp; transport takes little of it, different clocks the rest.
    """

    publishers: tuple[str, ...] = ()
    rate: float = 0.0
    age: float = math.inf
    offset: float | None = None

    @property
    def heard(self) -> bool:
        """Whether anything came on it."""
        return math.isfinite(self.age)


@dataclass(frozen=True)
class Wire:
    """The newest /lowstate: (29,) temperatures [degC] and error bits of the motors.

    corrupt: whether its CRC is wrong, or it could not be read at all.
    """

    mode_machine: int
    temperature: NDArray[np.int64]
    errors: NDArray[np.int64]
    corrupt: bool = False


@dataclass(frozen=True)
class Picture:
    """Size of an image [px] and its encoding."""

    width: int
    height: int
    encoding: str


@dataclass(frozen=True)
class Checkpoint:
    """What the files of a policy say; `problem` when they cannot be read."""

    folder: str
    problem: str = ''
    joints: tuple[str, ...] = ()
    trained: bool = False
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Computer:
    """This computer; `addresses` are the IPv4 ones by network interface, sizes in bytes.

    fragment_time: how long Linux waits for the rest of a datagram [s]. ports: of the grippers by
    side, and what is wrong with each ('' = can be opened).
    """

    addresses: Mapping[str, str]
    real_time: bool
    disk_free: int
    receive_buffer: int
    fragment_time: int
    ports: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnostic:
    """What a node says of itself on /diagnostics; `text` is for people."""

    text: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Snapshot:
    """Everything at once. None stands for what nobody told.

    robot: 'sim' or 'g1'; machine: what this computer is to run, as launch argument `machine`.
    gripper_faults: by side, '' = fine. diagnostics: the newest of each name, while it is sent.
    """

    robot: str
    machine: str
    limits: SafetyParameters
    topics: Mapping[str, Topic]
    computer: Computer
    checkpoint: Checkpoint
    wire: Wire | None = None
    safety: SafetyStatus | None = None
    policy: PolicyStatus | None = None
    recorder: EpisodeStatus | None = None
    picture: Picture | None = None
    joints: tuple[str, ...] = ()
    gripper_faults: Mapping[str, str] = field(default_factory=dict)
    diagnostics: Mapping[str, Diagnostic] = field(default_factory=dict)

    def topic(self, name: str) -> Topic:
        """What is known of a topic; of one that nobody asked for, nothing."""
        return self.topics.get(name, Topic())
