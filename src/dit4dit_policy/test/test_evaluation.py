"""`dit4dit eval` counts what happens in simulation."""

import json

import pytest

from dit4dit_policy.cli import main
from dit4dit_policy.evaluation.evaluate import summary
from dit4dit_policy.evaluation.rollouts import Episode
from dit4dit_policy.inference.policy import Policy
from dit4dit_policy.model import checkpoint


def episode(seed, success, duration):
    reason = '' if success else 'never touched it'
    return Episode(seed, success, reason, duration, chunks_rejected=1, holds=2, clamped=0, text='')


def test_the_summary_has_rate_and_interval():
    result = summary([episode(k, k < 8, 5.0 + k) for k in range(10)])
    assert (result['episodes'], result['successes'], result['success_rate']) == (10, 8, 0.8)
    assert result['success_rate_95'] == pytest.approx((0.490, 0.943), abs=0.001)
    assert result['mean_time_to_success'] == pytest.approx(8.5)
    assert (result['chunks_rejected'], result['holds']) == (10, 20)
    assert result['failures'] == {'never touched it': 2}


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--task', 'move_spoons'], 'expected one of arrange_flower, '),
        (['--task', 'arrange_flower', '--episodes', '0'], 'expected at least 1 of --episodes'),
        (['--task', 'arrange_flower', '--checkpoint', '/nonexistent'], '/nonexistent'),
    ],
)
def test_wrong_arguments_are_one_line(capsys, arguments, text):
    assert main(['eval', *arguments]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count('\n') == 1


@pytest.mark.slow
@pytest.mark.parametrize('more', [[], ['--real-time-chunking']])
def test_an_untrained_policy_is_evaluated_and_fails_on_video(tmp_path, more):
    policy = Policy.untrained('nano')
    checkpoint.save(policy.model, tmp_path / 'checkpoint', {'trained': False})
    policy.processor.save(tmp_path / 'checkpoint' / 'processor.json')
    arguments = ['--task', 'arrange_flower', '--episodes', '1', '--out', str(tmp_path)]
    arguments += ['--checkpoint', str(tmp_path / 'checkpoint'), *more]
    assert main(['eval', *arguments]) == 0
    result = json.loads((tmp_path / 'results.json').read_text())
    assert (result['episodes'], result['successes'], result['trained']) == (1, 0, False)
    video = tmp_path / 'failures' / '10000-never-touched-it.mp4'
    assert video.stat().st_size > 0
