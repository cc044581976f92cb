"""When a policy is asked for its next chunk."""

import threading
import time

import numpy as np
import pytest
from toy_environment import TOY, PatientPolicy, ToyPolicy

from dit4dit_policy.inference.chunk_policy import Observation, follow_of
from dit4dit_policy.inference.following import Following
from dit4dit_policy.nodes.inference_thread import InferenceThread, Seen, TaskRun

PICTURE = np.zeros((32, 32, 3), np.uint8)


class Counting(ToyPolicy):
    """Its targets count up from the state."""

    def infer(self, observation, prefix=None):
        return observation.state[0] + np.arange(4.0)[:, None]


def seen(stamp, state=0.0):
    return Observation({'front': PICTURE}, np.array([state, 0.0]), 'go up', stamp)


@pytest.fixture
def following():
    return Following(Counting('anything', TOY), follow=3)


def test_what_is_left_of_a_chunk_is_followed(following):
    assert [x.tolist() for x in following(seen(7.0))[0]] == [[0.0], [1.0], [2.0], [3.0]]
    targets, new = following(seen(7.2, state=5.0))
    assert (targets.ravel().tolist(), new) == ([2.0, 3.0, 3.0, 3.0], False)
    targets, new = following(seen(7.3, state=5.0))
    assert (targets.ravel().tolist(), new) == ([5.0, 6.0, 7.0, 8.0], True)


def test_time_that_begins_anew_needs_a_new_chunk(following):
    following(seen(7.0))
    assert following(seen(0.0))[1]


def test_only_a_new_chunk_continues_the_one_before(following):
    asked = []
    for stamp in (0.0, 0.1, 0.2, 0.3):
        following(seen(stamp), lambda stamp=stamp: asked.append(stamp))
    assert asked == [0.0, 0.3]


def test_a_policy_says_how_long_its_chunks_are_followed():
    assert follow_of(ToyPolicy('anything', TOY)) == 1
    assert follow_of(PatientPolicy('anything', TOY)) == 4
    patient = Following(PatientPolicy('anything', TOY))
    assert [patient(seen(0.1 * k))[1] for k in range(5)] == [True, False, False, False, True]


def test_the_node_asks_for_a_chunk_when_the_last_one_has_been_followed():
    made: list[float] = []
    enough = threading.Event()

    def deliver(run, inferred):
        made.append(inferred.seen.observation.stamp)
        if len(made) == 3:
            enough.set()

    def observe(instruction):
        return Seen(seen(time.monotonic()), 0, 0.0)

    thread = InferenceThread(
        PatientPolicy('anything', TOY),
        observe,
        deliver,
        max_rate=100.0,
        threads=1,
        continues=lambda: False,
    )
    thread.task_run = TaskRun('reach', 'go up')
    thread.start()
    while not enough.wait(0.01):
        thread.image_came()
    thread.stop()
    assert np.diff(made).min() > 0.35  # four targets, a tenth of a second each, less a tenth of it
