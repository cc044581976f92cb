"""The newest image, with the joint positions at its stamp, or a reason in words."""

import math

import pytest

from dit4dit_policy.inference.observation_buffer import NoObservationError, ObservationBuffer

MS = 1_000_000


@pytest.fixture
def buffer():
    return ObservationBuffer(['a', 'b'], max_image_age=0.2, max_joint_state_gap=0.05)


def test_newest_image_with_joints_interpolated_at_its_stamp(buffer):
    for t in range(0, 100, 8):
        buffer.add_joint_state(t * MS, ['b', 'x', 'a'], [10.0 * t, 0.0, t])
    buffer.add_image(20 * MS, 'old')
    buffer.add_image(50 * MS, 'new')
    match = buffer.match(60 * MS)
    assert (match.stamp, match.image) == (50 * MS, 'new')
    assert match.joint_positions.tolist() == pytest.approx([50.0, 500.0])
    assert buffer.image_age(60 * MS) == pytest.approx(0.010)
    assert buffer.joint_state_age(100 * MS) == pytest.approx(0.004)


def test_image_newer_or_older_than_all_joint_states_gets_the_nearest(buffer):
    buffer.add_joint_state(100 * MS, ['a', 'b'], [1.0, 2.0])
    buffer.add_joint_state(108 * MS, ['a', 'b'], [3.0, 4.0])
    buffer.add_image(120 * MS, 'image')
    assert buffer.match(130 * MS).joint_positions.tolist() == [3.0, 4.0]
    buffer.add_image(90 * MS, 'image')
    assert buffer.match(130 * MS).joint_positions.tolist() == [1.0, 2.0]


def expect(buffer, now, text):
    with pytest.raises(NoObservationError, match=text):
        buffer.match(now)


def test_what_is_missing_is_named(buffer):
    assert buffer.image_age(0) < 0 and buffer.joint_state_age(0) < 0
    expect(buffer, 0, 'no camera image')
    buffer.add_image(0, 'image')
    expect(buffer, 0, 'no joint state has come')
    buffer.add_joint_state(0, ['c', 'a'], [0.0, 0.0])
    expect(buffer, 0, 'lack b$')
    buffer.add_joint_state(0, ['a', 'b'], [0.0])
    expect(buffer, 0, 'one position per name')
    buffer.add_joint_state(0, ['a', 'b'], [0.0, math.nan])
    expect(buffer, 0, 'no number for b$')


def test_old_and_future_images_are_refused(buffer):
    buffer.add_joint_state(1000 * MS, ['a', 'b'], [0.0, 0.0])
    buffer.add_image(1000 * MS, 'image')
    assert buffer.match(1190 * MS)
    expect(buffer, 1250 * MS, '0.25 s old, at most 0.2 s')
    expect(buffer, 500 * MS, '0.50 s in the future; synchronise')


def test_image_far_from_every_joint_state_is_refused(buffer):
    buffer.add_joint_state(0, ['a', 'b'], [0.0, 0.0])
    buffer.add_image(100 * MS, 'image')
    expect(buffer, 110 * MS, 'nearest joint state is 0.10 s')
    buffer.add_joint_state(200 * MS, ['a', 'b'], [0.0, 0.0])  # a hole on both sides of the image
    expect(buffer, 210 * MS, 'nearest joint state is 0.10 s')


def test_a_clock_set_back_starts_anew(buffer):
    buffer.add_joint_state(5000 * MS, ['a', 'b'], [5.0, 5.0])
    buffer.add_joint_state(10 * MS, ['a', 'b'], [1.0, 1.0])
    buffer.add_image(12 * MS, 'image')
    assert buffer.match(20 * MS).joint_positions.tolist() == [1.0, 1.0]
