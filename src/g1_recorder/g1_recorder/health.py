"""How well an episode was recorded: rates, gaps, ages, what was lost. No ROS; times in s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from g1_ros.parameters import parameter


@dataclass(frozen=True)
class HealthLimits:
    """An episode beyond one of these is marked, and the operator is told at once."""

    image_gap: float = parameter(
        0.2, unit='s', minimum=0.01, maximum=5.0, description='Longest without a camera image.'
    )
    image_age: float = parameter(
        0.2, unit='s', minimum=0.01, maximum=5.0, description='From capture of an image to here.'
    )
    state_gap: float = parameter(
        0.1, unit='s', minimum=0.005, maximum=5.0, description='Longest without joint_states.'
    )
    command_gap: float = parameter(
        0.1, unit='s', minimum=0.005, maximum=5.0, description='Longest without arm commands.'
    )
    frames_missed: int = parameter(
        0, minimum=0, maximum=1000, description='Rows that had to take an image of another moment.'
    )
    clamped: int = parameter(
        50, minimum=0, maximum=100000, description='Targets that control brought back into range.'
    )


class Source:
    """When the samples of one source were taken, and how old they were when they came.

    Attributes:
        count: samples so far.
        age: largest distance between when a sample was taken and when it came [s].
    """

    def __init__(self, started: float) -> None:
        self.count = 0
        self.age = 0.0
        self._gap = 0.0
        self._first = self._last = 0.0
        self._came = started

    @property
    def rate(self) -> float:
        """Samples per second [Hz]; 0 before there are two."""
        spread = self._last - self._first
        return (self.count - 1) / spread if spread > 0 else 0.0

    def add(self, taken: float, now: float) -> None:
        """A sample taken at `taken` arrives `now`."""
        if self.count:
            self._gap = max(self._gap, taken - self._last)
        else:
            self._first = taken
        self.count += 1
        self.age = max(self.age, abs(now - taken))
        self._last, self._came = taken, now

    def gap(self, now: float) -> float:
        """Longest time between two samples, or since the last one came, up to `now` [s]."""
        return max(self._gap, now - self._came)


class EpisodeHealth:
    """Collects what happens during one episode, which begins at `started`.

    Attributes:
        images, states, commands: of the camera, joint_states and arm_sdk.
        residual: largest distance of an image from the time of its row [s].
        missed: rows without an image of their own.
        clamped: targets that control brought back into range.
    """

    def __init__(self, started: float) -> None:
        self.images, self.states, self.commands = (Source(started) for _ in range(3))
        self.residual = 0.0
        self.missed = 0
        self.clamped = 0

    def faults(self, limits: HealthLimits, now: float) -> list[str]:
        """What is outside its limits up to `now`, in words; none of a good episode."""
        checks = (
            (self.missed, limits.frames_missed, '{} frames missed'),
            (self.images.gap(now), limits.image_gap, 'no image for {:.2f} s'),
            (self.images.age, limits.image_age, 'image came {:.2f} s off its stamp'),
            (self.states.gap(now), limits.state_gap, 'no joint_states for {:.2f} s'),
            (self.commands.gap(now), limits.command_gap, 'no command for {:.2f} s'),
            (self.clamped, limits.clamped, '{} targets out of range'),
        )
        return [text.format(value) for value, limit, text in checks if value > limit]

    def summary(
        self, limits: HealthLimits, now: float, dropped: int, problems: Sequence[str]
    ) -> dict[str, Any]:
        """What is kept with the episode (`g1_data.Episode.health`).

        dropped: rows lost on their way to the disk. problems: of the writing, in words.
        """
        faults = [*problems, *self.faults(limits, now)]
        sources = {'image': self.images, 'state': self.states, 'command': self.commands}
        return {
            'healthy': not faults,
            'text': '; '.join(faults),
            **{f'{name}_rate_hz': round(source.rate, 2) for name, source in sources.items()},
            **{f'{name}_gap_s': round(source.gap(now), 4) for name, source in sources.items()},
            'image_age_s': round(self.images.age, 4),
            'image_residual_s': round(self.residual, 4),
            'frames_missed': self.missed,
            'frames_dropped': dropped,
            'clamped': self.clamped,
        }
