"""What policy_node says of itself: policy/status and /diagnostics."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from dit4dit_msgs.msg import PolicyStatus
from rclpy.node import Node

from dit4dit_policy.inference.chunk_policy import ChunkPolicy
from dit4dit_policy.inference.observation_buffer import ObservationBuffer
from dit4dit_policy.nodes.inference_thread import Inferred, TaskRun
from dit4dit_policy.nodes.surprise_watch import SurpriseWatch
from g1_ros.diagnostics import Diagnostics, diagnostic
from g1_ros.qos import STATUS
from g1_ros.rates import RateMeter

_STATUS_EVERY, _DIAGNOSTICS_EVERY = 4, 20  # calls of `say`, which come at 20 Hz
_KEPT = 100  # chunks that the percentiles are of


class PolicyReport:
    """Publishes state and measurements on behalf of the node: at 5 and 1 Hz, changes at once."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._status = node.create_publisher(PolicyStatus, 'policy/status', STATUS)
        self._diagnostics = Diagnostics(node)
        self._chunk_rate = RateMeter()
        self._latencies: deque[float] = deque(maxlen=_KEPT)
        self._inference_times: deque[float] = deque(maxlen=_KEPT)
        self._ages: deque[float] = deque(maxlen=_KEPT)  # of images when inference begins
        self._announced: int | None = None
        self._calls = 0

    def chunk_sent(self, task_run: TaskRun, chunk: Inferred, latency: float) -> None:
        """A chunk was published `latency` [s] after its image was taken."""
        task_run.inference_time = chunk.duration
        task_run.latency = latency
        task_run.chunks += 1
        task_run.rate.tick()
        self._chunk_rate.tick()
        self._latencies.append(latency)
        self._inference_times.append(chunk.duration)
        self._ages.append(chunk.seen.age)

    def say(
        self,
        state: int,
        text: str,
        policy: ChunkPolicy | None,
        task_run: TaskRun | None,
        observations: ObservationBuffer[bytes] | None,
        watch: SurpriseWatch | None,
    ) -> None:
        """Called at 20 Hz with what is. state: of PolicyStatus."""
        now = self._node.get_clock().now().nanoseconds
        image_age = observations.image_age(now) if observations else -1.0
        joint_state_age = observations.joint_state_age(now) if observations else -1.0
        changed, self._announced = state != self._announced, state
        if changed and state in (PolicyStatus.WAITING, PolicyStatus.ERROR):
            self._node.get_logger().warning(text, throttle_duration_sec=2.0)
        if changed or self._calls % _STATUS_EVERY == 0:
            message = PolicyStatus(
                state=state,
                text=text,
                task=task_run.task if task_run else '',
                model_id=policy.model_id if policy else '',
                trained=policy.trained if policy else False,
                chunks=task_run.chunks if task_run else 0,
                rate=task_run.rate.rate() if task_run else 0.0,
                inference_time=task_run.inference_time if task_run else 0.0,
                image_age=image_age,
                joint_state_age=joint_state_age,
                surprise=_known(watch.value) if watch else -1.0,
                surprise_limit=_known(watch.limit) if watch else -1.0,
            )
            message.stamp = self._node.get_clock().now().to_msg()
            self._status.publish(message)
        if self._calls % _DIAGNOSTICS_EVERY == 0:
            self._diagnose(state, text, image_age, joint_state_age)
        self._calls += 1

    def _diagnose(self, state: int, text: str, image_age: float, joint_state_age: float) -> None:
        self._diagnostics.publish(
            diagnostic(
                'policy_node: inference',
                state in (PolicyStatus.IDLE, PolicyStatus.RUNNING),
                text,
                chunk_rate=self._chunk_rate.rate(),
                chunks=self._chunk_rate.count,
                latency_p50=_percentile(self._latencies, 50),
                latency_p95=_percentile(self._latencies, 95),
                inference_time_p50=_percentile(self._inference_times, 50),
                inference_time_p95=_percentile(self._inference_times, 95),
                image_age_at_inference_p50=_percentile(self._ages, 50),
                image_age_at_inference_p95=_percentile(self._ages, 95),
                image_age=image_age,
                joint_state_age=joint_state_age,
            )
        )


def _known(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def _percentile(values: deque[float], percent: float) -> float:
    """NaN where there are none yet. The values may grow meanwhile: they are copied first."""
    return float(np.percentile(list(values), percent)) if values else math.nan
