"""How well an episode was recorded: rates, gaps, ages, what was lost. No ROS; times in s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from g1_ros.parameters import parameter

_OTHER_CLOCK = 10.0  # [s] what is stamped this far away is stamped by another clock


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


class SourceTimes:
    """When the samples of one source were taken, and how old they were when they came.

    Attributes:
        count: samples so far.
        age: largest distance between when a sample was taken and when it came [s].
    """

    def __init__(self, started: float) -> None:
        self.count = 0
        self.age = 0.0
        self._gap = self._spread = 0.0
        self._gaps = 0  # between samples, of which the spread is the sum
        self._first: float | None = None
        self._last: float | None = None
        self._came = started

    @property
    def rate(self) -> float:
        """Samples per second [Hz]; 0 before there are two."""
        return self._gaps / self._spread if self._spread > 0 else 0.0

    def add(self, taken: float, now: float) -> None:
        """A sample taken at `taken` arrives `now`."""
        if self._last is None:
            self._first = taken
        else:
            self._between(taken - self._last)
        self.count += 1
        self.age = max(self.age, abs(now - taken))
        self._last, self._came = taken, now

    def gap(self, now: float) -> float:
        """Longest time between two samples, or since the last one came, up to `now` [s]."""
        return max(self._gap, now - self._came)

    def resume(self, now: float) -> None:
        """Nothing was waited for until `now`."""
        self._last, self._came = None, now

    def joined(self, later: SourceTimes) -> SourceTimes:
        """Of both, `later` being of what came right after."""
        both = SourceTimes(self._came)
        both.count, both.age = self.count + later.count, max(self.age, later.age)
        both._gap = max(self._gap, later._gap)
        both._spread, both._gaps = self._spread + later._spread, self._gaps + later._gaps
        both._first = later._first if self._first is None else self._first
        both._last, both._came = self._last, self._came
        if later._last is not None and later._first is not None:
            if self._last is not None:
                both._between(later._first - self._last)
            both._last, both._came = later._last, later._came
        return both

    def _between(self, gap: float) -> None:
        self._gap = max(self._gap, gap)
        self._spread += gap
        self._gaps += 1


class EpisodeHealth:
    """Collects what happens during one episode of these cameras, which begins at `started`.

    Attributes:
        started: when it began [s].
        images: of each camera. states, commands: of joint_states and arm_sdk.
        residual: for each camera, largest distance of an image from the time of its row [s].
        missed: for each camera, rows without an image of their own.
        clamped: targets that control brought back into range.
        clock_step: by how much the system's clock was set, 0 where it was not [s].
    """

    def __init__(self, started: float, cameras: Sequence[str]) -> None:
        self.started = started
        self.images = {camera: SourceTimes(started) for camera in cameras}
        self.states, self.commands = SourceTimes(started), SourceTimes(started)
        self.residual = dict.fromkeys(cameras, 0.0)
        self.missed = dict.fromkeys(cameras, 0)
        self.clamped = 0
        self.clock_step = 0.0

    def resume(self, now: float) -> None:
        """After a pause, in which nothing was waited for."""
        for source in (*self.images.values(), self.states, self.commands):
            source.resume(now)

    def joined(self, later: EpisodeHealth) -> EpisodeHealth:
        """Of both, `later` being of the time right after."""
        both = EpisodeHealth(self.started, tuple(self.images))
        for camera, source in self.images.items():
            both.images[camera] = source.joined(later.images[camera])
            both.residual[camera] = max(self.residual[camera], later.residual[camera])
            both.missed[camera] = self.missed[camera] + later.missed[camera]
        both.states = self.states.joined(later.states)
        both.commands = self.commands.joined(later.commands)
        both.clamped = self.clamped + later.clamped
        both.clock_step = self.clock_step + later.clock_step
        return both

    def faults(self, limits: HealthLimits, now: float) -> list[str]:
        """What is outside its limits up to `now`, in words; none of a good episode."""
        checks: list[tuple[float, float, str]] = [
            (abs(self.clock_step), 0.0, f'the clock was set by {self.clock_step:+.1f} s')
        ]
        for camera, source in self.images.items():
            late = f'{camera}: image came {{:.2f}} s off its stamp'
            if source.age > _OTHER_CLOCK:
                late = (
                    f'{camera}: images are stamped by another clock, {{:.0f}} s off; set '
                    'global_time_enabled of the camera, and chrony on both computers'
                )
            checks += [
                (self.missed[camera], limits.frames_missed, f'{camera}: {{}} frames missed'),
                (source.gap(now), limits.image_gap, f'{camera}: no image for {{:.2f}} s'),
                (source.age, limits.image_age, late),
            ]
        checks += [
            (self.states.gap(now), limits.state_gap, 'no joint_states for {:.2f} s'),
            (self.commands.gap(now), limits.command_gap, 'no command for {:.2f} s'),
            (self.clamped, limits.clamped, '{} targets out of range'),
        ]
        return [text.format(value) for value, limit, text in checks if value > limit]

    def summary(
        self, limits: HealthLimits, now: float, dropped: int, problems: Sequence[str]
    ) -> dict[str, Any]:
        """What is kept with the episode (`g1_data.Episode.health`).

        dropped: rows lost on their way to the disk. problems: of the writing, in words.
        """
        faults = [*problems, *self.faults(limits, now)]
        images = {image_name(k, camera): camera for k, camera in enumerate(self.images)}
        sources = {name: self.images[camera] for name, camera in images.items()}
        sources |= {'state': self.states, 'command': self.commands}
        return {
            'healthy': not faults,
            'text': '; '.join(faults),
            **{f'{name}_rate_hz': round(source.rate, 2) for name, source in sources.items()},
            **{f'{name}_gap_s': round(source.gap(now), 4) for name, source in sources.items()},
            **{f'{name}_age_s': round(sources[name].age, 4) for name in images},
            **{f'{name}_residual_s': round(self.residual[c], 4) for name, c in images.items()},
            'frames_missed': sum(self.missed.values()),
            'frames_dropped': dropped,
            'clamped': self.clamped,
        }


def image_name(number: int, camera: str) -> str:
    """What a recorded camera is called among an episode's sources; the first is the image."""
    return f'{camera}_image' if number else 'image'
