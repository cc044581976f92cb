"""Which chunks are followed, and why not the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g1_control.chunk_buffer import Chunk
from g1_control.safety.limits import Limits
from g1_control.safety.parameters import SafetyParameters
from g1_control.safety.reasons import Reason

Array = NDArray[np.float64]


class ChunkRejectedError(ValueError):
    """A chunk that is not followed; `joint` is the one to blame, empty if none."""

    def __init__(self, reason: Reason, text: str, joint: str = '') -> None:
        super().__init__(text)
        self.reason, self.joint = reason, joint


def check_chunk(
    chunk: Chunk, limits: Limits, parameters: SafetyParameters, now: float
) -> tuple[Array, Array]:
    """The chunk's absolute times (K,) and its positions (K, J) as asked for, if it can be followed.

    Raises ChunkRejectedError with the reason and the joint. Positions out of range are not refused
    here: they are clamped. Nor is the distance from the present command, see `check_start`.
    """
    if tuple(chunk.names) != limits.names:
        raise _wrong_names(tuple(chunk.names), limits.names)
    if len(chunk.positions) == 0:
        raise ChunkRejectedError(Reason.CHUNK_EMPTY, 'expected at least one point, got none')
    if len(chunk.positions) > parameters.chunk_points:
        raise ChunkRejectedError(
            Reason.CHUNK_SHAPE,
            f'expected at most {parameters.chunk_points} points, got {len(chunk.positions)}',
        )
    for k, row in enumerate(chunk.positions):
        if len(row) != len(limits.names):
            raise ChunkRejectedError(
                Reason.CHUNK_SHAPE,
                f'point {k}: expected {len(limits.names)} positions, got {len(row)}',
            )
    positions, times = np.array(chunk.positions, float), np.array(chunk.times, float)
    if len(times) != len(positions):
        raise ChunkRejectedError(
            Reason.CHUNK_SHAPE, f'expected one time a point, got {len(times)} for {len(positions)}'
        )
    _check_finite(chunk.stamp, times, positions, limits)
    if times[0] < 0 or times[-1] > parameters.chunk_duration or np.any(np.diff(times) < 1e-3):
        raise ChunkRejectedError(
            Reason.CHUNK_TIMES,
            f'expected times from 0 to {parameters.chunk_duration:g} s, at least 1 ms apart, '
            'got ' + ', '.join(f'{t:g}' for t in times[:8]),
        )
    _check_age(chunk.stamp, chunk.stamp + times[-1], parameters, now)
    _check_steps(times, positions, limits, parameters)
    return chunk.stamp + times, positions


def check_start(first: Array, command: Array, limits: Limits, parameters: SafetyParameters) -> None:
    """Refuses a chunk whose first usable target (J,) is too far from the present command (J,)."""
    distance = np.abs(first - command)[: limits.arms]
    worst = int(np.argmax(distance))
    if distance[worst] > parameters.chunk_start_distance:
        raise ChunkRejectedError(
            Reason.CHUNK_START_TOO_FAR,
            f'{limits.names[worst]}: the first usable target {first[worst]:.3f} rad is '
            f'{distance[worst]:.3f} rad from the command, allowed is '
            f'{parameters.chunk_start_distance:g}',
            limits.names[worst],
        )


def _wrong_names(names: tuple[str, ...], expected: tuple[str, ...]) -> ChunkRejectedError:
    missing, unknown = set(expected) - set(names), set(names) - set(expected)
    if missing or unknown:
        joint = min(missing or unknown)
        text = '; '.join(
            f'{what}: {", ".join(sorted(joints))}'
            for what, joints in (('missing', missing), ('unknown', unknown))
            if joints
        )
    elif len(names) != len(expected):
        joint = next(name for name in names if names.count(name) > 1)
        text = f'{joint} is listed {names.count(joint)} times'
    else:
        k = next(
            k for k, pair in enumerate(zip(names, expected, strict=True)) if pair[0] != pair[1]
        )
        joint = expected[k]
        text = f'reordered: expected {joint} at place {k}, got {names[k]}'
    return ChunkRejectedError(Reason.CHUNK_JOINT_NAMES, text, joint)


def _check_finite(stamp: float, times: Array, positions: Array, limits: Limits) -> None:
    if not np.isfinite(stamp) or not np.isfinite(times).all():
        raise ChunkRejectedError(Reason.CHUNK_NOT_FINITE, 'a time is NaN or infinite')
    bad = np.argwhere(~np.isfinite(positions))
    if len(bad):
        k, joint = int(bad[0][0]), limits.names[int(bad[0][1])]
        raise ChunkRejectedError(
            Reason.CHUNK_NOT_FINITE, f'{joint}: point {k} is {positions[k, bad[0][1]]}', joint
        )


def _check_age(stamp: float, last: float, parameters: SafetyParameters, now: float) -> None:
    if stamp > now + parameters.max_future_stamp:
        raise ChunkRejectedError(
            Reason.CHUNK_FROM_FUTURE,
            f'stamped {stamp - now:.3f} s in the future; are the clocks synchronised?',
        )
    if now - stamp > parameters.chunk_age or last <= now:
        raise ChunkRejectedError(
            Reason.CHUNK_TOO_OLD,
            f'stamped {now - stamp:.3f} s ago, its last target is due in {last - now:.3f} s; '
            f'usable up to {parameters.chunk_age:g} s and with targets to come',
        )


def _check_steps(
    times: Array, positions: Array, limits: Limits, parameters: SafetyParameters
) -> None:
    if len(times) < 2:
        return
    with np.errstate(over='ignore'):
        speed = np.abs(np.diff(positions, axis=0)[:, : limits.arms]) / np.diff(times)[:, None]
    k, j = np.unravel_index(int(np.argmax(speed)), speed.shape)
    if speed[k, j] > parameters.chunk_velocity:
        raise ChunkRejectedError(
            Reason.CHUNK_TOO_FAST,
            f'{limits.names[j]}: {speed[k, j]:.3g} rad/s from point {k} to {k + 1}, allowed is '
            f'{parameters.chunk_velocity:g}',
            limits.names[j],
        )
