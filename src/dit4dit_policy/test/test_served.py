"""`dit4dit eval` by suites, with one policy in a process of its own for all attempts."""

import json

import pytest
from toy_environment import TOY

from dit4dit_policy.cli import main
from dit4dit_policy.evaluation.served import served

SERVED = ['--env', 'toy_environment:ServedEnvironment', '--policy', 'toy_environment:ToyPolicy']
SERVED += ['--checkpoint', 'anything']


def test_an_environment_says_how_it_is_attempted_and_suites_have_a_row_each(tmp_path, capsys):
    out = tmp_path / 'out'
    arguments = [*SERVED, '--suite', 'easy,hard', '--task', '0', '--out', str(out)]
    assert main(['eval', *arguments, '--episodes', '1', '--workers', '1']) == 0
    assert main(['eval', *arguments, '--episodes', '2', '--workers', '1']) == 0  # goes on
    result = json.loads((out / 'results.json').read_text())
    assert [(row['task'], row['seed'], row['success']) for row in result['results']] == [
        ('easy-0', 4, True),
        ('easy-0', 5, True),
        ('hard-0', 4, False),
        ('hard-0', 5, False),
    ]
    assert {name: row['successes'] for name, row in result['suites'].items()} == {
        'easy': 2,
        'hard': 0,
    }
    assert (result['latency'], result['policy']) == (0.0, 'toy_environment:ToyPolicy')
    assert (result['model_id'], result['checkpoint']) == ('toy', 'anything')
    shown = capsys.readouterr().out
    assert 'easy ' in shown and 'easy-0' not in shown  # one row a suite


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--suite', 'middle'], "--suite: expected some of easy, hard, got 'middle'"),
        (['--suite', 'easy', '--task', '2'], 'expected all, or one of 0, 1, got'),
        (['--suite', 'easy', '--real-time-chunking'], 'stands still during inference'),
        (['--suite', 'easy', '--seed-start', '50', '--episodes', '11'], '0 to 53; got 50 to 60'),
        (['--suite', 'easy', '--seed-start', '-1'], '0 to 53; got -1 to 48'),
        ([], '--task: expected a task, or all; or --suite'),
    ],
)
def test_what_there_is_not_is_refused(capsys, arguments, text):
    assert main(['eval', *SERVED, *arguments]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count('\n') == 1


def test_a_policy_that_does_not_load_is_told():
    with (
        pytest.raises(ValueError, match="expected a folder, got 'nonsense'"),
        served('toy_policies:Looker', 'nonsense', TOY),
    ):
        pass
