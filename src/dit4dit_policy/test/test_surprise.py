"""How unlike an episode goes to others is known at each chunk, and what it tells of the end."""

import json
import math

import numpy as np
import pytest
import torch
import toy_models as toy

from dit4dit_policy.cli import main
from dit4dit_policy.evaluation.statistics import auroc, auroc_interval, conformal_limit
from dit4dit_policy.evaluation.trace import Trace
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.inference.surprise import Instant, Surprise, SurpriseCalibration, SurpriseLimit
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.dit4dit import DiT4DiT

STEP, HORIZON, ACTIONS = 0.1, 8, 16


def signal(name, window=0.0, **more):
    width = (1.0,) * ACTIONS if name != 'imagined' else ()
    return SurpriseCalibration(name, window, STEP, width, {}, **more)


def moment(k, state=0.0, targets=None, encoding=0.0):
    """Chunk k, each fifth of a second."""
    targets = np.zeros((HORIZON, ACTIONS)) if targets is None else targets
    return Instant(0.2 * k, np.full(ACTIONS, state), targets, np.full((4, 1, 2, 2), encoding))


def line(start):
    """Targets that go on at one unit a second."""
    return (start + STEP * np.arange(HORIZON))[:, None] * np.ones(ACTIONS)


def test_a_seam_is_what_a_chunk_differs_from_the_one_before():
    surprise = Surprise(signal('seams'))
    assert math.isnan(surprise(moment(0, targets=line(0.0))))
    assert surprise(moment(1, targets=line(0.2))) == pytest.approx(0.0, abs=1e-9)
    assert surprise(moment(2, targets=line(0.9))) == pytest.approx(0.5)


def test_a_state_is_as_odd_as_it_is_far_from_the_nearest_demonstrated():
    rows = ((0.0,) * ACTIONS, (1.0,) * ACTIONS)
    surprise = Surprise(signal('state', rows=rows))
    assert [surprise(moment(k, state)) for k, state in enumerate((0.0, 0.75, 3.0))] == [
        pytest.approx(value) for value in (0.0, 0.25, 2.0)
    ]


def test_who_stands_still_for_a_second_is_still():
    surprise = Surprise(signal('still'))
    said = [surprise(moment(k, 0.1 * min(k, 5))) for k in range(11)]
    assert np.isnan(said[:5]).all()
    assert said[5] == pytest.approx(0.1 / 0.6)
    assert said[10] == 1.0


def test_what_was_imagined_is_compared_when_its_time_comes():
    surprise = Surprise(signal('imagined'))
    said = []
    for k in range(6):
        now = moment(k, encoding=0.1 * k)
        said.append(surprise(now))
        if k == 0:
            surprise.expect(0.0, 0.8, np.full((4, 1, 2, 2), 0.4))
    assert [k for k, value in enumerate(said) if not math.isnan(value)] == [4]
    assert said[4] == pytest.approx(0.0)


def test_it_is_the_mean_of_a_window_and_says_nothing_before_one_is_over():
    surprise = Surprise(signal('state', window=0.5, rows=((0.0,) * ACTIONS,)))
    said = [surprise(moment(k, state)) for k, state in enumerate((3.0, 0.0, 0.0, 3.0, 0.0))]
    assert np.isnan(said[:3]).all()
    assert said[3:] == [pytest.approx(1.0), pytest.approx(1.0)]


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    limits = {'Touch it.': SurpriseLimit(0.5, 30, 1 / 31)}
    written = SurpriseCalibration('seams', 2.0, STEP, (1.0,) * ACTIONS, limits)
    written.save(tmp_path / 'surprise.json')
    assert SurpriseCalibration.load(tmp_path / 'surprise.json') == written
    values = json.loads((tmp_path / 'surprise.json').read_text())
    (tmp_path / 'surprise.json').write_text(json.dumps(values | {'signal': 'gut'}))
    with pytest.raises(ValueError, match="got 'gut'; make it again with"):
        SurpriseCalibration.load(tmp_path / 'surprise.json')


def test_the_limit_promises_no_more_than_there_are_successes_for():
    assert conformal_limit([3.0, 1.0, 2.0], 0.01) == (3.0, 0.25)
    value, chance = conformal_limit([float(k) for k in range(199)], 0.01)
    assert (value, chance) == (197.0, pytest.approx(0.01))
    assert conformal_limit([], 0.01) == (math.inf, 0.0)


def test_a_limit_is_crossed_as_often_as_it_promises():
    random = np.random.default_rng(0)
    crossed = []
    for _ in range(4000):
        limit, chance = conformal_limit(list(random.normal(size=30)), 0.1)
        crossed.append(random.normal() > limit)
    assert chance == pytest.approx(3 / 31)
    assert np.mean(crossed) == pytest.approx(chance, abs=0.015)


def test_auroc_counts_ties_half_and_has_an_interval():
    assert auroc([2.0, 3.0], [0.0, 1.0]) == 1.0
    assert auroc([1.0], [0.0, 1.0, 2.0, 1.0]) == 0.5
    assert math.isnan(auroc([], [1.0]))
    random = np.random.default_rng(0)
    high = random.normal(1.0, size=30).tolist()
    low = random.normal(size=60).tolist()
    below, above = auroc_interval(high, low)
    assert 0.5 < below < auroc(high, low) < above < 0.95


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('checkpoint')
    torch.manual_seed(0)
    checkpoint.save(DiT4DiT(toy.tiny()), folder, {'trained': True, 'steps': 3})
    toy.processor(toy.tiny()).save(folder / 'processor.json')
    return folder


def test_an_evaluation_keeps_what_was_seen_planned_and_imagined(folder, tmp_path):
    words = ['eval', '--env', 'toy_touch:TouchEnvironment', '--task', 'touch', '--traces']
    words += ['--checkpoint', str(folder), '--episodes', '1', '--seed-start', '5']
    assert main([*words, '--workers', '1', '--out', str(tmp_path)]) == 0
    trace = Trace.load(tmp_path / 'traces' / 'touch-5.npz')
    assert (trace.task, trace.success, trace.step) == ('touch', False, 0.1)
    assert trace.stamps == pytest.approx(0.2 * np.arange(10))
    assert trace.chunks.shape == (10, 16, 16) and trace.states.shape == (10, 16)
    assert trace.seen.shape[0] == 10 and trace.seen[0].shape == trace.imagined[0].shape
    assert trace.imagined_for - trace.imagined_at == pytest.approx(np.full(5, 0.8))
    policy = DiT4DiTPolicy.load(folder)
    assert not policy.encoding.size
    (tmp_path / 'traces' / 'other.npz').write_bytes(b'nothing')
    with pytest.raises(ValueError, match='not a trace'):
        Trace.load(tmp_path / 'traces' / 'other.npz')


def episodes(root, count, seed, failing=3):
    """Every third one fails: its chunks begin to differ after two seconds."""
    random = np.random.default_rng(seed)
    for number in range(count):
        fails = number % failing == failing - 1
        times = 0.2 * np.arange(50 if fails else 30)
        noise = np.where((times > 2.0) & fails, 0.5, 0.02)[:, None, None]
        chunks = noise * random.normal(size=(len(times), HORIZON, ACTIONS))
        states = 0.1 * random.normal(size=(len(times), ACTIONS))
        nothing = np.zeros(0)
        Trace(
            'touch', not fails, STEP, times, states, chunks,
            np.zeros((len(times), 0)), np.zeros((0, 0)), nothing, nothing,
        ).save(root / 'traces' / f'touch-{number:02}.npz')  # fmt: skip
    return root


def test_the_signal_that_tells_failures_is_found_and_written(folder, tmp_path, capsys):
    known = episodes(tmp_path / 'known', 60, 0)
    unseen = episodes(tmp_path / 'unseen', 20, 1)
    data = toy.record(tmp_path / 'data', 2)
    words = ['surprise', str(known), '--unseen', str(unseen), '--checkpoint', str(folder)]
    words += ['--demonstrations', str(data), '--window', '1', '--out', str(tmp_path / 'out')]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert 'usual worlds: 10 failures, 20 successes' in said
    assert 'unseen worlds: 6 failures, 14 successes' in said
    rows = json.loads((tmp_path / 'out' / 'report.json').read_text())
    seams = next(r for r in rows if (r['signal'], r['world']) == ('seams', 'usual worlds'))
    assert (seams['auroc'], seams['auroc_begin'], seams['warned']) == (1.0, 1.0, 10)
    assert 6.0 < seams['seconds'] < 7.8  # of the 7.8 s after its chunks begin to differ
    state = next(r for r in rows if (r['signal'], r['world']) == ('state', 'usual worlds'))
    assert state['auroc_begin'] < 0.8
    written = SurpriseCalibration.load(tmp_path / 'out' / 'surprise.json')
    assert written.signal == 'seams'
    assert written.limits[toy.INSTRUCTION].successes == 40
    assert written.limits[toy.INSTRUCTION].false_alarms == pytest.approx(1 / 41)
    assert (tmp_path / 'out' / 'surprise.png').stat().st_size > 1000
    (folder / 'surprise.json').write_bytes((tmp_path / 'out' / 'surprise.json').read_bytes())
    assert DiT4DiTPolicy.load(folder).calibration == written


def test_what_there_is_to_learn_from_has_to_be_there(folder, tmp_path, capsys):
    assert main(['surprise', str(tmp_path)]) == 2
    assert 'evaluate with --traces' in capsys.readouterr().err
    known = episodes(tmp_path / 'known', 6, 0, failing=100)
    assert main(['surprise', str(known), '--checkpoint', str(folder)]) == 2
    assert 'episodes that succeed and that fail' in capsys.readouterr().err
