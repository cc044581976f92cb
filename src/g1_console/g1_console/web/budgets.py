"""Rates, ages and latencies beside what they may be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from g1_console.web.running_system import RunningSystem
from g1_control.control_parameters import ControlParameters
from g1_control.safety import SafetyParameters
from g1_ros.config import config_path
from g1_ros.parameters import load

_CAMERA_RATE = 15.0  # [Hz]
_CONSOLE_DELAY = 2.0 / _CAMERA_RATE  # [s] from the camera's stamp to the browser
_WATCHDOG_AGE = 0.5  # [s], as control asks for


@dataclass(frozen=True)
class Measure:
    """A number with its unit, what it is to be in words, and whether it is."""

    name: str
    value: str
    budget: str
    good: bool


class Budgets:
    """The measures of a running system; budgets are those of the files in `config/`."""

    def __init__(self) -> None:
        self._limits = load(SafetyParameters, config_path('safety.yaml'))
        self._rate = load(ControlParameters, config_path('control.yaml')).rate
        policy = next(iter(yaml.safe_load(config_path('policy.yaml').read_text()).values()))
        self._image_age = float(policy['ros__parameters']['max_image_age'])

    def measures(
        self, system: RunningSystem, delays: Mapping[str, float], now: float
    ) -> list[Measure]:
        """delays: of the newest image sent to the browser, by camera [s]; now: node time [s]."""
        return [
            *self._control(system),
            *self._policy(system),
            *self._cameras(system, delays, now),
        ]

    def _control(self, system: RunningSystem) -> Iterator[Measure]:
        said = system.diagnostics.get('control_node: control')
        if said is not None:
            yield _at_least('control loop', _number(said.values, 'rate'), self._rate, 'Hz')
            late, period = _number(said.values, 'jitter_p99_ms'), 1e3 / self._rate
            yield Measure(
                '  99 % late by less than', f'{late:.2g} ms', f'{period:.2g} ms', late <= period
            )
        if (status := system.safety) is not None:
            yield _age('/lowstate', status.lowstate_age, self._limits.lowstate_stale)
            yield _age('watchdog', status.watchdog_age, _WATCHDOG_AGE)
            if status.chunk_age >= 0.0:
                yield _age("chunk's image", status.chunk_age, self._limits.chunk_age)

    def _policy(self, system: RunningSystem) -> Iterator[Measure]:
        status = system.policy
        if status is None:
            return
        yield _age('image at the policy', status.image_age, self._image_age)
        if status.chunks:
            yield Measure('chunks', f'{status.rate:.1f} /s', '', True)
            yield Measure('inference', f'{status.inference_time * 1e3:.0f} ms', '', True)
        said = system.diagnostics.get('policy_node: inference')
        if said is not None and status.chunks:
            latency = _number(said.values, 'latency_p95')
            budget = self._limits.chunk_age
            yield Measure(
                '  95 % sent within',
                f'{latency * 1e3:.0f} ms',
                f'{budget * 1e3:.0f} ms',
                latency <= budget,
            )

    def _cameras(
        self, system: RunningSystem, delays: Mapping[str, float], now: float
    ) -> Iterator[Measure]:
        for name, image in system.pictures.items():
            yield _at_least(f'camera {name}', image.meter.rate(), _CAMERA_RATE, 'Hz')
            age = now - image.stamp * 1e-9
            delay = max(delays.get(name, math.inf), age if age > 1.0 else 0.0)
            yield _age('  to the browser', delay, _CONSOLE_DELAY)


def _at_least(name: str, value: float, budget: float, unit: str) -> Measure:
    """A rate; a tenth below what it is to be still is good."""
    good = value >= 0.9 * budget
    return Measure(name, f'{value:.0f} {unit}', f'{budget:.0f} {unit}', good)


def _age(name: str, seconds: float, budget: float) -> Measure:
    known = 0.0 <= seconds < math.inf
    value = f'{seconds * 1e3:.0f} ms' if known else 'never'
    return Measure(name, value, f'{budget * 1e3:.0f} ms', known and seconds <= budget)


def _number(values: Mapping[str, str], name: str) -> float:
    try:
        return float(values[name])
    except (KeyError, ValueError):
        return math.nan
