"""The thread that infers: always from what is newest, at most so often, for one task at a time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.chunk_policy import ChunkPolicy, Observation, follow_of
from dit4dit_policy.inference.continuation import Continuation, Prefix
from dit4dit_policy.inference.observation_buffer import NoObservationError
from g1_ros.rates import RateMeter

_EARLIEST = 0.9  # of the period: a frame that comes a little early must not cost a whole one


@dataclass
class TaskRun:
    """The policy working on one task, until it ends or another one takes its place.

    failure: of the newest inference, empty when it worked. passing: whether the failure is one that
    may pass, as a server that does not answer. inference_time: of the newest chunk [s]. latency:
    from image capture to the newest chunk published [s].
    """

    task: str
    instruction: str
    chunks: int = 0
    failure: str = ''
    passing: bool = False
    inference_time: float = 0.0
    latency: float = 0.0
    rate: RateMeter = field(default_factory=lambda: RateMeter(window=3.0))
    continuation: Continuation | None = None  # of its chunks, in real-time chunking


@dataclass(frozen=True)
class Seen:
    """An observation, when its image was taken [ns], and how old it was when taken up [s]."""

    observation: Observation
    stamp: int
    age: float


@dataclass(frozen=True)
class Inferred:
    """A chunk (K, A) [rad, m], what it was made from, and how long that took [s]."""

    seen: Seen
    targets: NDArray[np.float64]
    duration: float


class InferenceThread(threading.Thread):
    """Infers for `task_run` (None: idles) as an image comes, at most at `max_rate`."""

    def __init__(
        self,
        policy: ChunkPolicy,
        observe: Callable[[str], Seen],
        deliver: Callable[[TaskRun, Inferred], None],
        *,
        max_rate: float,
        threads: int,
        continues: Callable[[], bool],
        idle: Callable[[Seen, float], None] = lambda seen, until: None,
    ) -> None:
        """Args:
        policy: asked by this thread alone; one with a method `warm_up` is warmed up first.
        observe: what there is to infer from, with the instruction given; NoObservationError.
        deliver: takes each chunk.
        max_rate: inferences a second [Hz].
        threads: of torch on a CPU.
        continues: whether the next chunk is to continue the one before.
        idle: after each chunk, with what that was made from; returns by a time [s, monotonic].
        """
        super().__init__(name='inference', daemon=True)
        self._task_run: TaskRun | None = None
        self._policy = policy
        self._observe = observe
        self._deliver = deliver
        self._max_rate = max_rate
        self._threads = threads
        self._continues = continues
        self._idle = idle
        self._image_came = threading.Event()
        self._stop_asked = threading.Event()
        self._asked_anew = threading.Event()
        self._warm = threading.Event()

    @property
    def task_run(self) -> TaskRun | None:
        """What is inferred for."""
        return self._task_run

    @task_run.setter
    def task_run(self, task_run: TaskRun | None) -> None:
        self._task_run = task_run
        self.ask_anew()

    @property
    def warm(self) -> bool:
        """Whether the policy is ready to infer at its usual pace."""
        return self._warm.is_set()

    def ask_anew(self) -> None:
        """The next image is inferred from, however short ago the last one was."""
        self._asked_anew.set()

    def image_came(self) -> None:
        """There may be something new to infer from."""
        self._image_came.set()

    def stop(self) -> None:
        """Ends after the inference that is going on; waits for it, but not forever."""
        self._stop_asked.set()
        self._asked_anew.set()
        self._image_came.set()
        self.join(timeout=2.0)

    def run(self) -> None:
        """Until `stop`."""
        if torch := sys.modules.get('torch'):  # a policy may do without it
            torch.set_num_threads(self._threads)
        with suppress(Exception):  # what is wrong is said as soon as it is asked for a chunk
            getattr(self._policy, 'warm_up', lambda: None)()
        self._warm.set()
        while True:
            self._image_came.clear()  # what came meanwhile has aged: the next is worth waiting for
            if self._stop_asked.is_set():
                return
            self._image_came.wait()
            self._asked_anew.clear()
            task_run = self.task_run
            if task_run is None or self._stop_asked.is_set():
                continue
            start = time.monotonic()
            until = start + _EARLIEST / self._max_rate
            try:
                seen = self._infer(task_run)
                task_run.failure = ''
                until = max(until, start + _EARLIEST * follow_of(self._policy) * self._policy.step)
                self._idle(seen, until)
            except NoObservationError:
                continue  # the status says so; try with the next image
            except OSError as error:
                task_run.passing, task_run.failure = True, str(error)
            except Exception as error:
                task_run.passing, task_run.failure = False, f'{type(error).__name__}: {error}'
            self._asked_anew.wait(until - time.monotonic())

    def _infer(self, task_run: TaskRun) -> Seen:
        seen = self._observe(task_run.instruction)
        start = time.monotonic()
        targets = self._policy.infer(seen.observation, self._prefix(task_run, seen))
        if self.task_run is task_run:  # else the task ended meanwhile
            self._deliver(task_run, Inferred(seen, targets, time.monotonic() - start))
        return seen

    def _prefix(self, task_run: TaskRun, seen: Seen) -> Prefix | None:
        if not self._continues():
            return None
        if task_run.continuation is None:
            task_run.continuation = Continuation(self._policy.step)
        return task_run.continuation.prefix(seen.observation.stamp)
