"""When a policy is asked for its next chunk."""

import time
from dataclasses import replace

import numpy as np
import pytest
from toy_environment import TOY, PatientPolicy, ToyPolicy

from dit4dit_policy.inference.chunk_policy import Observation, follow_of
from dit4dit_policy.inference.following import Following
from dit4dit_policy.nodes.inference_thread import InferenceThread, Seen, TaskRun
from g1_test_support.waiting import wait_until

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
    assert follow_of(ToyPolicy('anything', TOY)) == 0
    assert follow_of(PatientPolicy('anything', TOY)) == 4
    patient = Following(PatientPolicy('anything', TOY))
    assert [patient(seen(0.1 * k))[1] for k in range(5)] == [True, False, False, False, True]


def test_a_chunk_is_followed_no_longer_than_it_is(following):
    patient = Following(PatientPolicy('anything', TOY), follow=9)
    assert [patient(seen(0.1 * k))[1] for k in range(5)] == [True, False, False, False, True]


def test_other_words_or_a_stamp_that_does_not_move_need_a_new_chunk(following):
    following(seen(7.0))
    assert following(seen(7.0))[1]
    assert not following(seen(7.1))[1]
    assert following(replace(seen(7.2), instruction='go down'))[1]


class Node:
    """The thread of the node, with a policy; `made` has when it was asked for chunks [s]."""

    def __init__(self, policy):
        self.made: list[float] = []
        self.thread = InferenceThread(
            policy,
            lambda instruction: Seen(seen(time.monotonic()), 0, 0.0),
            lambda run, inferred: self.made.append(inferred.seen.observation.stamp),
            max_rate=100.0,
            threads=1,
            continues=lambda: False,
        )
        self.thread.start()

    def wait_for(self, count):
        act = self.thread.image_came
        wait_until(lambda: len(self.made) >= count, f'{count} chunks', act=act)


def test_the_node_asks_for_a_chunk_when_the_last_one_has_been_followed():
    node = Node(PatientPolicy('anything', TOY))
    node.thread.task_run = TaskRun('reach', 'go up')
    node.wait_for(3)
    node.thread.stop()
    assert np.diff(node.made).min() > 0.35  # four targets of a tenth of a second, less a tenth


def test_a_policy_is_warmed_up_before_it_is_asked_for_a_chunk():
    asked = []

    class Cold(PatientPolicy):
        def warm_up(self):
            asked.append('warm up')

        def infer(self, observation, prefix=None):
            asked.append('infer')
            return super().infer(observation, prefix)

    node = Node(Cold('anything', TOY))
    wait_until(lambda: node.thread.warm, 'a warm policy')
    node.thread.task_run = TaskRun('reach', 'go up')
    node.wait_for(1)
    node.thread.stop()
    assert asked[:2] == ['warm up', 'infer'] and asked.count('warm up') == 1


def test_a_warm_up_that_fails_is_no_end():
    class Broken(PatientPolicy):
        def warm_up(self):
            raise ValueError('no')

    node = Node(Broken('anything', TOY))
    node.thread.task_run = TaskRun('reach', 'go up')
    node.wait_for(1)
    node.thread.stop()


def test_another_task_does_not_wait_for_a_chunk_of_the_one_before_to_be_followed():
    class Slow(PatientPolicy):
        step = 1000.0

    node = Node(Slow('anything', TOY))
    for count in (1, 2, 3):
        node.thread.task_run = TaskRun('reach', 'go up')
        node.wait_for(count)
    node.thread.stop()
