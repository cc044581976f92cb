"""What is said of an episode, and when."""

from g1_recorder.health import EpisodeHealth, HealthLimits

LIMITS = HealthLimits()


def good_health(until: float) -> EpisodeHealth:
    """Of an episode from second 100 on, with images at 30 Hz and the others at 100 Hz."""
    health = EpisodeHealth(100.0, ['head'])
    for k in range(round((until - 100) * 30)):
        health.images['head'].add(100 + k / 30, 100.02 + k / 30)
    for source in (health.states, health.commands):
        for k in range(round((until - 100) * 100)):
            source.add(100 + k / 100, 100 + k / 100)
    return health


def test_a_good_episode_has_no_faults_and_its_rates() -> None:
    summary = good_health(110.0).summary(LIMITS, 110.0, 0, [])
    assert (summary['healthy'], summary['text']) == (True, '')
    assert (summary['image_rate_hz'], summary['command_rate_hz']) == (30.0, 100.0)
    assert summary['image_age_s'] == 0.02


def test_a_source_that_falls_silent_is_a_fault_while_it_is_silent_and_ever_after() -> None:
    health = good_health(110.0)
    assert health.faults(LIMITS, 110.05) == []
    assert health.faults(LIMITS, 110.15) == [
        'no joint_states for 0.16 s',
        'no command for 0.16 s',
    ]
    assert 'head: no image for 1.01 s' in health.faults(LIMITS, 111.0)
    health.images['head'].add(111.5, 111.52)
    assert 'head: no image for 1.53 s' in health.faults(LIMITS, 111.53)


def test_a_source_that_never_comes_is_a_fault() -> None:
    assert EpisodeHealth(100.0, ['head']).faults(LIMITS, 101.0) == [
        'head: no image for 1.00 s',
        'no joint_states for 1.00 s',
        'no command for 1.00 s',
    ]


def test_stamps_of_another_clock_are_a_fault_late_or_early() -> None:
    for stamp in (109.0, 111.0):
        health = good_health(110.0)
        health.images['head'].add(stamp, 110.0)
        assert 'head: image came 1.00 s off its stamp' in health.faults(LIMITS, 110.0)


def test_what_was_dropped_on_the_way_to_the_disk_is_kept_with_the_episode() -> None:
    summary = good_health(110.0).summary(LIMITS, 110.0, 7, ['7 frames dropped'])
    assert (summary['healthy'], summary['frames_dropped']) == (False, 7)
    assert summary['text'] == '7 frames dropped'


def test_each_camera_is_watched_and_named() -> None:
    health = EpisodeHealth(100.0, ['head', 'left_wrist'])
    for k in range(30):
        health.images['head'].add(100 + k / 30, 100.02 + k / 30)
    health.images['left_wrist'].add(100.1, 100.6)
    health.missed['left_wrist'] = 4
    health.residual['left_wrist'] = 0.4
    faults = health.faults(LIMITS, 101.0)
    assert 'left_wrist: 4 frames missed' in faults
    assert 'left_wrist: no image for 0.40 s' in faults
    assert 'left_wrist: image came 0.50 s off its stamp' in faults
    assert not [fault for fault in faults if fault.startswith('head')]
    summary = health.summary(LIMITS, 101.0, 0, [])
    assert (summary['image_rate_hz'], summary['left_wrist_image_gap_s']) == (30.0, 0.4)
    assert (summary['frames_missed'], summary['left_wrist_image_residual_s']) == (4, 0.4)


def test_a_camera_of_another_clock_is_told_with_the_setting() -> None:
    health = good_health(110.0)
    health.images['head'].add(12.5, 110.0)
    (fault,) = [text for text in health.faults(LIMITS, 110.0) if 'clock' in text]
    assert 'head: images are stamped by another clock, 98 s off' in fault
    assert 'global_time_enabled' in fault


def test_a_pause_is_no_gap_and_takes_no_rate_away() -> None:
    health = good_health(110.0)
    health.resume(200.0)
    for source in (health.images['head'], health.states, health.commands):
        for k in range(300):
            source.add(200 + k / 30, 200.02 + k / 30)
    summary = health.summary(LIMITS, 210.0, 0, [])
    assert (summary['healthy'], summary['image_rate_hz']) == (True, 30.0)
    assert summary['command_gap_s'] < 0.05


def test_pieces_that_follow_each_other_are_as_one() -> None:
    whole, pieces = EpisodeHealth(100.0, ['head']), []
    for second in range(5):
        piece = EpisodeHealth(100.0 + second, ['head'])
        for k in range(30):
            taken = 100.0 + second + k / 30
            if not 12 <= k < 12 + 6 * second:  # the gaps grow
                for health in (whole, piece):
                    for source in (health.images['head'], health.states, health.commands):
                        source.add(taken, taken + 0.01)
        piece.clamped, piece.missed['head'], piece.residual['head'] = 1, 2, 0.01 * second
        pieces.append(piece)
    whole.clamped, whole.missed['head'], whole.residual['head'] = 5, 10, 0.04
    joined = pieces[0]
    for piece in pieces[1:]:
        joined = joined.joined(piece)
    assert joined.summary(LIMITS, 105.0, 0, []) == whole.summary(LIMITS, 105.0, 0, [])


def test_a_clock_that_was_set_marks_the_episode() -> None:
    health = good_health(110.0)
    health.clock_step = -20.0
    assert health.faults(LIMITS, 110.01) == ['the clock was set by -20.0 s']
