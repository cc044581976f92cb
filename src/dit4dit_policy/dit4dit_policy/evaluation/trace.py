"""What was seen, planned and imagined in an episode: whatever could have warned of its end.

N chunks, S numbers of a state, K targets of A numbers in a chunk, M imagined pictures; the encoding
of a picture has any shape.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.chunk_policy import (
    IMAGINATION_STEPS,
    ChunkPolicy,
    Future,
    Observation,
    imagining,
)

Array = NDArray[np.floating[Any]]

_EVERY = 2  # chunks between two imaginations: a robot has time for no more


@dataclass(frozen=True)
class Trace:
    """An episode, one row a chunk.

    task, success: what was tried, and whether it was done. step: between two targets of a chunk
    [s]. stamps (N,): when the chunks' images were taken [s]. states (N, S), chunks (N, K, A):
    [rad, m]. seen (N, ...): encodings of the images, (N, 0) of a policy that imagines nothing.
    imagined (M, ...): encodings of what was expected, at `imagined_for` (M,) [s], when something
    was seen at `imagined_at` (M,) [s].
    """

    task: str
    success: bool
    step: float
    stamps: Array
    states: Array
    chunks: Array
    seen: Array
    imagined: Array
    imagined_at: Array
    imagined_for: Array

    def save(self, path: Path) -> None:
        """Writes an .npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open('wb') as file:
            np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Reads what `save` wrote. ValueError where that is something else."""
        try:
            with np.load(path) as file:
                values: Any = {f.name: file[f.name] for f in fields(cls)}
        except (KeyError, ValueError) as error:
            raise ValueError(f'{path}: not a trace of `dit4dit eval --traces`: {error}') from None
        return cls(**values | {name: values[name].item() for name in ('task', 'success', 'step')})


class TraceRecorder:
    """Makes the trace of an episode, from its begin; lets the policy imagine."""

    def __init__(self, policy: ChunkPolicy) -> None:
        self._policy = policy
        self._imagining = imagining(policy)
        self._rows: list[tuple[float, Any, Any, Any]] = []
        self._imagined: list[tuple[Any, float, float]] = []

    def add(self, observation: Observation, targets: NDArray[np.float64]) -> None:
        """What the policy was shown last, and its answer (K, A)."""
        policy, seen = self._imagining, np.zeros(0, np.float32)
        if policy:
            seen = policy.encoding
            if len(self._rows) % _EVERY == 0:
                future = list(policy.imagination(observation, IMAGINATION_STEPS))[-1]
                assert isinstance(future, Future)
                stamp = observation.stamp
                self._imagined.append((future.encoding, stamp, stamp + future.ahead))
        self._rows.append((observation.stamp, observation.state, targets, seen))

    def trace(self, task: str, success: bool) -> Trace:
        """All of it, when the episode has ended."""
        stamps, states, chunks, seen = zip(*self._rows, strict=True)
        imagined, begun, due = zip(*self._imagined, strict=True) if self._imagined else ((), (), ())
        return Trace(
            task,
            success,
            self._policy.step,
            np.array(stamps),
            np.array(states, np.float32),
            np.array(chunks, np.float32),
            np.array(seen, np.float16),
            np.array(imagined, np.float16),
            np.array(begun),
            np.array(due),
        )
