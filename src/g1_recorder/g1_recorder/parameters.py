"""What recorder_node is told at its start."""

from __future__ import annotations

from dataclasses import dataclass

from g1_ros.parameters import parameter


@dataclass(frozen=True)
class RecorderParameters:
    """What to record, and where."""

    task: str = parameter(
        '', description='Task of config/tasks.yaml, or an instruction in words of its own.'
    )
    dataset: str = parameter(
        'runs/teleop', description='Folder of the dataset; new episodes are added to what it holds.'
    )
    fps: int = parameter(
        10, unit='Hz', minimum=1, maximum=60, description='Frames per second of the dataset.'
    )
    cameras: list[str] = parameter(
        ['head'],
        description='Cameras to record, of the embodiment: head, left_wrist, right_wrist. Rows '
        'begin with the first image of the first.',
    )
    image_height: int = parameter(
        240, unit='px', minimum=16, maximum=2160, description='Height of the stored videos.'
    )
    image_width: int = parameter(
        320, unit='px', minimum=16, maximum=3840, description='Width of the stored videos.'
    )
    disk_free: int = parameter(
        500,
        unit='MB',
        minimum=0,
        maximum=1_000_000_000,
        description='With less on the disk no episode is started, and the operator is told.',
    )
    raw_log: bool = parameter(
        False,
        description='Keep the raw topics of each episode too, as MCAP in raw/ of the dataset; '
        'images at 640x480 and 30 Hz take 1.7 GB a minute.',
    )
    keep_last: float = parameter(
        0.0,
        unit='s',
        minimum=0.0,
        maximum=300.0,
        description='While nothing is recorded, the rows of so many seconds wait in memory for '
        'recorder/keep (0.23 MB each at 320x240, for every camera); 0: none do.',
    )
    episodes_goal: int = parameter(
        200, minimum=1, maximum=100000, description='How many episodes the operator wants.'
    )
