"""`dit4dit eval` counts what happens in an environment, whichever it is and whoever acts in it."""

import json

import pytest

from dit4dit_policy.cli import main
from dit4dit_policy.evaluation.evaluate import summary
from dit4dit_policy.evaluation.rollouts import Attempt, AttemptOutcome
from dit4dit_policy.evaluation.statistics import wilson_interval
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model import checkpoint

TOYS = ['--env', 'toy_environment:ToyEnvironment', '--policy', 'toy_environment:ToyPolicy']
TOYS += ['--checkpoint', 'anything']


def test_any_policy_is_evaluated_in_any_environment(tmp_path, capsys):
    out = tmp_path / 'out'
    arguments = ['--task', 'all', '--episodes', '2', '--seed-start', '10', '--out', str(out)]
    assert main(['eval', *TOYS, *arguments, '--cameras', 'front,side']) == 0
    assert str(out / 'results.json') in capsys.readouterr().out
    result = json.loads((out / 'results.json').read_text())
    assert (result['episodes'], result['successes'], result['cameras']) == (4, 2, ['front', 'side'])
    assert {name: row['successes'] for name, row in result['tasks'].items()} == {
        'reach': 1,
        'rest': 1,
    }
    assert [(row['task'], row['seed'], row['success']) for row in result['results']] == [
        ('reach', 10, True),
        ('reach', 11, False),
        ('rest', 10, True),
        ('rest', 11, False),
    ]
    first = result['results'][0]
    assert (first['stage'], first['bumps']) == ('done', 3)
    assert first['seconds'] == pytest.approx(0.6)
    videos = sorted(path.name for path in (out / 'failures').iterdir())
    assert videos == ['reach-11-low.mp4', 'rest-11-low.mp4']


def test_a_variant_of_the_environment(tmp_path):
    arguments = ['--task', 'reach', '--episodes', '1', '--out', str(tmp_path / 'out')]
    assert main(['eval', *TOYS, *arguments, '--variant', 'far']) == 0
    result = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert (result['variant'], result['successes']) == ('far', 0)


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--task', 'dance'], '--task: expected all, or one of reach, rest, got'),
        (['--task', 'reach', '--variant', 'near'], '--variant: expected one of far, got'),
        (['--task', 'reach', '--cameras', 'side'], '--cameras: the policy looks at front, got'),
    ],
)
def test_what_an_environment_does_not_have_is_refused(capsys, arguments, text):
    assert main(['eval', *TOYS, *arguments]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count('\n') == 1


def episode(seed, success, seconds):
    stage = 'done' if success else 'never touched it'
    return AttemptOutcome(
        Attempt('reach', seed), success, stage, seconds, {'refusals': 1, 'holds': 2}
    )


def test_the_summary_has_rate_and_interval():
    result = summary([episode(k, k < 8, 5.0 + k) for k in range(10)])
    assert (result['episodes'], result['successes'], result['success_rate']) == (10, 8, 0.8)
    assert result['success_rate_95'] == pytest.approx((0.490, 0.943), abs=0.001)
    assert result['mean_time_to_success'] == pytest.approx(8.5)
    assert result['counts'] == {'refusals': 10, 'holds': 20}
    assert result['failures'] == {'never touched it': 2}


def test_the_interval_of_a_success_rate():
    low, high = wilson_interval(48, 50)
    assert low == pytest.approx(0.865, abs=0.002) and high == pytest.approx(0.989, abs=0.002)


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--task', 'move_spoons'], 'expected all, or one of arrange_flower, '),
        (['--task', 'arrange_flower', '--episodes', '0'], 'expected at least 1 of --episodes'),
        (['--task', 'arrange_flower', '--checkpoint', '/nonexistent'], '/nonexistent'),
        (['--task', 'arrange_flower', '--env', 'moon'], "'moon'; there are: g1"),
    ],
)
def test_wrong_arguments_are_one_line(capsys, arguments, text):
    assert main(['eval', *arguments]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count('\n') == 1


@pytest.mark.slow
@pytest.mark.parametrize('more', [[], ['--real-time-chunking']])
def test_an_untrained_policy_is_evaluated_and_fails_on_video(tmp_path, more):
    policy = DiT4DiTPolicy.untrained('nano')
    checkpoint.save(policy.model, tmp_path / 'checkpoint', {'trained': False})
    policy.processor.save(tmp_path / 'checkpoint' / 'processor.json')
    arguments = ['--task', 'arrange_flower', '--episodes', '1', '--out', str(tmp_path)]
    arguments += ['--checkpoint', str(tmp_path / 'checkpoint'), *more]
    assert main(['eval', *arguments]) == 0
    result = json.loads((tmp_path / 'results.json').read_text())
    assert (result['episodes'], result['successes'], result['trained']) == (1, 0, False)
    video = tmp_path / 'failures' / 'arrange_flower-10000-never-touched-it.mp4'
    assert video.stat().st_size > 0
