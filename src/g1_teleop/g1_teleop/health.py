"""How well an episode was recorded: rates, gaps, ages, what was lost. No ROS; times in s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from g1_node.parameters import parameter


@dataclass(frozen=True)
class HealthLimits:
    """An episode beyond one of these is marked, and the operator is told at once."""

    image_gap: float = parameter(
        0.2, unit='s', minimum=0.01, maximum=5.0, description='Longest without a camera image.'
    )
    image_age: float = parameter(
        0.2, unit='s', minimum=0.01, maximum=5.0, description='Image from capture to recorder.'
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
    """When the samples of one source were taken, and how old they were when they came."""

    def __init__(self) -> None:
        self.count = 0
        self.gap = 0.0
        self.age = 0.0
        self._first = self._last = 0.0

    @property
    def rate(self) -> float:
        """Samples per second [Hz]; 0 before there are two."""
        spread = self._last - self._first
        return (self.count - 1) / spread if spread > 0 else 0.0

    def add(self, taken: float, now: float) -> None:
        """A sample taken at `taken` arrives `now`."""
        if self.count:
            self.gap = max(self.gap, taken - self._last)
        else:
            self._first = taken
        self.count += 1
        self.age = max(self.age, now - taken)
        self._last = taken


class EpisodeHealth:
    """Collects what happens during one episode.

    Attributes:
        images, states, commands: of the camera, joint_states and arm_sdk.
        residual: largest distance of an image from the time of its row [s].
        missed: rows without an image of their own.
        clamped: targets that control brought back into range.
    """

    def __init__(self) -> None:
        self.images, self.states, self.commands = Source(), Source(), Source()
        self.residual = 0.0
        self.missed = 0
        self.clamped = 0

    def faults(self, limits: HealthLimits) -> list[str]:
        """What is outside its limits, in words; none of a good episode."""
        checks = (
            (self.missed, limits.frames_missed, f'{self.missed} frames missed'),
            (self.images.gap, limits.image_gap, f'no image for {self.images.gap:.2f} s'),
            (self.images.age, limits.image_age, f'image {self.images.age:.2f} s old'),
            (self.states.gap, limits.state_gap, f'no joint_states for {self.states.gap:.2f} s'),
            (self.commands.gap, limits.command_gap, f'no command for {self.commands.gap:.2f} s'),
            (self.clamped, limits.clamped, f'{self.clamped} targets out of range'),
        )
        return [text for value, limit, text in checks if value > limit]

    def summary(self, limits: HealthLimits) -> dict[str, Any]:
        """What is kept with the episode (`g1_data.Episode.health`)."""
        faults = self.faults(limits)
        sources = {'image': self.images, 'state': self.states, 'command': self.commands}
        return {
            'healthy': not faults,
            'text': '; '.join(faults),
            **{f'{name}_rate_hz': round(source.rate, 2) for name, source in sources.items()},
            **{f'{name}_gap_s': round(source.gap, 4) for name, source in sources.items()},
            'image_age_s': round(self.images.age, 4),
            'image_residual_s': round(self.residual, 4),
            'frames_missed': self.missed,
            'clamped': self.clamped,
        }
