"""The newest images, with the joint positions at their stamp, or a reason in words."""

import math

import numpy as np
import pytest

from dit4dit_policy.inference.observation_buffer import NoObservationError, ObservationBuffer

MS = 1_000_000
DAY = 86_400_000 * MS


class Buffer(ObservationBuffer):
    """Everything is received 5 ms after its stamp, unless something else is said."""

    def image(self, stamp, image, camera='head', now=None):
        self.add_image(camera, stamp * MS, image, stamp * MS + 5 * MS if now is None else now)

    def joints(self, stamp, *positions, now=None):
        now = stamp * MS + 5 * MS if now is None else now
        self.add_joint_state(stamp * MS, np.array(positions), now)


def make(*cameras):
    return Buffer(cameras, ['a', 'b'], max_image_age=0.2, max_joint_state_gap=0.05)


@pytest.fixture
def buffer():
    return make('head')


def expect(buffer, now, text):
    with pytest.raises(NoObservationError, match=text):
        buffer.match(now * MS)


def test_newest_image_with_joints_interpolated_at_its_stamp(buffer):
    for t in range(0, 100, 8):
        buffer.joints(t, t, 10.0 * t)
    buffer.image(20, 'old')
    buffer.image(50, 'new')
    match = buffer.match(60 * MS)
    assert (match.stamp, match.images) == (50 * MS, {'head': 'new'})
    assert match.state.tolist() == pytest.approx([50.0, 500.0])
    assert buffer.problem(60 * MS) == ''
    assert buffer.image_age(60 * MS) == pytest.approx(0.010)
    assert buffer.joint_state_age(100 * MS) == pytest.approx(0.004)


def test_image_newer_or_older_than_all_joint_states_gets_the_nearest(buffer):
    buffer.joints(100, 1.0, 2.0)
    buffer.joints(108, 3.0, 4.0)
    buffer.image(120, 'image')
    assert buffer.match(130 * MS).state.tolist() == [3.0, 4.0]
    buffer.image(90, 'image')
    assert buffer.match(130 * MS).state.tolist() == [1.0, 2.0]


def test_what_is_missing_is_named(buffer):
    assert buffer.image_age(0) < 0 and buffer.joint_state_age(0) < 0
    expect(buffer, 0, 'no image of camera head')
    buffer.image(0, 'image')
    expect(buffer, 0, 'no joint state has come')
    buffer.add_incomplete_joint_state(['b'], 0)
    expect(buffer, 0, 'lack b$')
    buffer.add_incomplete_joint_state([], 0)
    expect(buffer, 0, 'one position per name')
    buffer.joints(0, 0.0, math.nan)
    expect(buffer, 0, 'no number for b$')


def test_a_foreign_joint_state_between_complete_ones_does_not_matter(buffer):
    buffer.image(0, 'image')
    buffer.joints(0, 1.0, 2.0)
    buffer.add_incomplete_joint_state(['b'], 5 * MS)
    assert buffer.match(0).state.tolist() == [1.0, 2.0]
    buffer.image(100, 'image')
    expect(buffer, 110, 'lack b$')


def test_old_and_future_images_are_refused(buffer):
    buffer.joints(1000, 0.0, 0.0)
    buffer.image(1000, 'image')
    assert buffer.match(1190 * MS)
    expect(buffer, 1250, 'camera head is 0.25 s old, at most 0.2 s')
    expect(buffer, 500, '0.50 s in the future; synchronise')


def test_image_far_from_every_joint_state_is_refused(buffer):
    buffer.joints(0, 0.0, 0.0)
    buffer.image(100, 'image')
    expect(buffer, 110, 'nearest joint state is 0.10 s')
    buffer.joints(200, 0.0, 0.0)  # a hole on both sides of the image
    expect(buffer, 210, 'nearest joint state is 0.10 s')


def test_a_clock_set_back_starts_anew(buffer):
    buffer.joints(5000, 5.0, 5.0)
    buffer.joints(10, 1.0, 1.0)
    buffer.image(12, 'image')
    assert buffer.match(20 * MS).state.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(('now', 'text'), [(DAY, '86400 s behind'), (-DAY, '86400 s ahead')])
def test_stamps_of_another_clock_are_told_from_old_ones(buffer, now, text):
    buffer.image(0, 'image', now=now)
    expect(buffer, now // MS, f'head are stamped by another clock, {text}.*global_time_enabled')
    buffer.image(now // MS, 'image')
    buffer.joints(0, 1.0, 2.0, now=now)
    expect(buffer, now // MS, f'joint states are stamped by another clock, {text}')
    buffer.joints(now // MS, 1.0, 2.0)
    assert buffer.match(now + 1).state.tolist() == [1.0, 2.0]
    expect(buffer, now // MS + 60_000, 'is 60.00 s old')  # a camera that stopped: the right clock


def test_what_was_wrong_with_the_last_that_came_gives_way_to_their_silence(buffer):
    buffer.image(0, 'image', now=DAY)
    expect(buffer, (DAY // MS) + 900, 'another clock')
    expect(buffer, (DAY // MS) + 3000, 'no image of camera head has come for 3.0 s$')
    buffer.image(0, 'image')
    buffer.add_incomplete_joint_state(['b'], 5 * MS)
    expect(buffer, 100, 'lack b$')
    buffer.image(2000, 'image')
    expect(buffer, 2005, 'no joint state has come for 2.0 s$')
    buffer.joints(2000, 1.0, 2.0)
    assert buffer.problem(2010 * MS) == ''


def test_each_other_camera_gives_the_image_nearest_to_the_first_ones():
    buffer = make('head', 'wrist')
    buffer.joints(100, 1.0, 2.0)
    for stamp in (60, 90, 125):
        buffer.image(stamp, f'wrist at {stamp}', 'wrist')
    buffer.image(100, 'head at 100')
    match = buffer.match(130 * MS)
    assert match.stamp == 100 * MS
    assert match.images == {'head': 'head at 100', 'wrist': 'wrist at 90'}


def test_a_camera_that_is_missing_or_stale_is_named():
    buffer = make('head', 'wrist')
    buffer.joints(0, 1.0, 2.0)
    buffer.image(0, 'image')
    expect(buffer, 10, 'no image of camera wrist has come yet')
    buffer.image(0, 'image', 'wrist')
    assert buffer.match(10 * MS)
    buffer.joints(300, 1.0, 2.0)
    buffer.image(300, 'image')
    expect(buffer, 310, 'newest image of camera wrist is 0.31 s old')
    buffer.image(520, 'image', 'wrist')
    expect(buffer, 480, 'nearest image of camera wrist is 0.22 s from that of head')
