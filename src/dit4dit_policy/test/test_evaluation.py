"""`dit4dit eval` counts what happens in an environment, whichever it is and whoever acts in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from dit4dit_policy.cli import main
from dit4dit_policy.evaluation.comparison import paired, read_results
from dit4dit_policy.evaluation.evaluate import refusal_reasons, summary
from dit4dit_policy.evaluation.rollouts import Attempt, AttemptOutcome
from dit4dit_policy.evaluation.statistics import sign_test, wilson_interval
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model import checkpoint
from g1_test_support.waiting import wait_until

TOYS = ['--env', 'toy_environment:ToyEnvironment', '--policy', 'toy_environment:ToyPolicy']
TOYS += ['--checkpoint', 'anything', '--workers', '1']


def test_any_policy_is_evaluated_in_any_environment(tmp_path, capsys):
    out = tmp_path / 'out'
    arguments = ['--task', 'all', '--episodes', '2', '--seed-start', '10', '--out', str(out)]
    assert main(['eval', *TOYS, *arguments, '--cameras', 'front,side', '--workers', '2']) == 0
    said = capsys.readouterr().out
    assert str(out / 'results.json') in said
    assert 'checkpoint: anything' in said
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
    width, height = Image.open(out / 'failures.png').size
    assert width >= 8 * 96 and 2 * 96 < height < 3 * 96  # eight pictures of each of the two


def test_a_chunk_is_followed_for_longer(tmp_path):
    out = tmp_path / 'out'
    arguments = ['--task', 'reach', '--episodes', '1', '--seed-start', '10', '--out', str(out)]
    assert main(['eval', *TOYS, *arguments, '--follow', '4']) == 0
    result = json.loads((out / 'results.json').read_text())
    assert result['follow'] == 4
    assert result['results'][0]['seconds'] == pytest.approx(1.0)  # not 0.6: every second chunk
    again = [*arguments[:-1], str(tmp_path / 'again')]
    assert main(['eval', *TOYS, '--policy', 'toy_environment:PatientPolicy', *again]) == 0
    assert json.loads((tmp_path / 'again' / 'results.json').read_text())['follow'] == 4


def test_an_interrupted_evaluation_goes_on(tmp_path, capsys):
    out = tmp_path / 'out'
    arguments = ['--task', 'reach,rest', '--seed-start', '10', '--out', str(out)]
    assert main(['eval', *TOYS, *arguments, '--episodes', '1']) == 0
    journal = (out / 'attempts.jsonl').read_text()
    with (out / 'attempts.jsonl').open('a') as file:
        file.write('{"attempt": {"task": "rea')  # it was killed as it wrote
    assert main(['eval', *TOYS, *arguments, '--episodes', '2']) == 0
    assert (out / 'attempts.jsonl').read_text().startswith(journal)
    rows = json.loads((out / 'results.json').read_text())['results']
    assert [(row['task'], row['seed'], row['success']) for row in rows] == [
        ('reach', 10, True),
        ('reach', 11, False),
        ('rest', 10, True),
        ('rest', 11, False),
    ]
    capsys.readouterr()
    assert main(['eval', *TOYS, *arguments, '--latency', '0.3']) == 2
    assert 'of another setting (latency differ)' in capsys.readouterr().err


def results(folder, successes):
    rows = [
        {'task': task, 'seed': seed, 'success': seed < good}
        for task, good in successes.items()
        for seed in range(40)
    ]
    folder.mkdir()
    (folder / 'results.json').write_text(json.dumps({'variant': '', 'results': rows}))
    return folder


def test_two_evaluations_are_compared_scene_by_scene(tmp_path, capsys):
    a = results(tmp_path / 'a', {'reach': 20, 'rest': 30})
    b = results(tmp_path / 'b', {'reach': 30, 'rest': 30, 'lift': 3})
    reach, rest, both = paired(read_results(a), read_results(b / 'results.json'))
    assert (reach.scenes, reach.a, reach.b, reach.only_a, reach.only_b) == (40, 20, 30, 0, 10)
    assert reach.p_value == pytest.approx(2 / 2**10) and rest.p_value == 1.0
    assert (both.name, both.scenes, both.b) == ('all', 80, 60)
    assert main(['eval', '--compare', str(a), str(b)]) == 0
    assert '0.002' in capsys.readouterr().out
    other = results(tmp_path / 'other', {'lift': 3})
    assert main(['eval', '--compare', str(a), str(other)]) == 2
    assert 'same scenes' in capsys.readouterr().err
    assert main(['eval', '--compare', str(a), str(tmp_path)]) == 2
    assert 'expected results.json' in capsys.readouterr().err


def test_the_sign_test():
    assert sign_test(0, 0) == sign_test(3, 3) == 1.0
    assert sign_test(1, 9) == sign_test(9, 1) == pytest.approx(22 / 1024)


def test_a_variant_of_the_environment(tmp_path):
    arguments = ['--task', 'all', '--episodes', '1', '--out', str(tmp_path / 'out')]
    assert main(['eval', *TOYS, *arguments, '--variant', 'far']) == 0
    result = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert (result['variant'], result['successes']) == ('far', 0)
    assert list(result['tasks']) == ['reach']  # the other one has no such variant
    assert main(['eval', *TOYS, *arguments, '--seed-start', '10001']) == 0  # and the usual world
    videos = sorted(path.name for path in (tmp_path / 'out' / 'failures').iterdir())
    assert videos == ['reach-10001-low.mp4', 'reach-far-10000-low.mp4', 'rest-10001-low.mp4']


def stuck(policy):
    words = ['eval', '--env', 'toy_environment:StuckEnvironment', '--policy', policy]
    return [*words, '--checkpoint', 'anything', '--task', 'all', '--episodes', '1']


def test_processes_of_attempts_end_when_the_evaluation_is_killed(tmp_path):
    code = 'import sys; from dit4dit_policy.cli import main; sys.exit(main())'
    words = [*stuck('toy_environment:ToyPolicy'), '--workers', '2', '--out', str(tmp_path / 'out')]
    path = f'{Path(__file__).parent}:{os.environ.get("PYTHONPATH", "")}'
    (folder := tmp_path / 'stuck').mkdir()
    command = subprocess.Popen(
        [sys.executable, '-c', code, *words],
        env={**os.environ, 'PYTHONPATH': path, 'STUCK_FOLDER': str(folder)},
    )
    try:
        wait_until(lambda: len(list(folder.iterdir())) == 2, 'both processes to be stuck')
    finally:
        command.kill()
        command.wait()
    started = [Path('/proc', path.name, 'cmdline') for path in folder.iterdir()]
    wait_until(lambda: not any(p.is_file() and p.read_bytes() for p in started), 'both to end')


def test_a_process_that_is_ended_from_outside_is_told_in_one_line(capsys):
    words = stuck('toy_environment:ToyPolicy')
    words[2] = 'toy_environment:DyingEnvironment'
    assert main([*words, '--workers', '2']) == 2
    assert 'error: a process of the attempts was ended from outside' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--task', 'dance'], '--task: expected all, or one of reach, rest, got'),
        (['--task', 'reach', '--variant', 'near'], '--variant: expected one of far, got'),
        (['--task', 'rest', '--variant', 'far'], 'is a variant of reach, not of rest'),
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
        (['--task', 'arrange_flower', '--follow', '0'], 'expected 1 or more targets'),
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
    (attempt,) = result['results']
    video = tmp_path / 'failures' / f'arrange_flower-10000-{attempt["stage"]}.mp4'
    assert video.stat().st_size > 0


def test_why_chunks_were_refused_is_counted_by_reason():
    def attempt(seed, text, **counts):
        return AttemptOutcome(Attempt('reach', seed), False, 'low', 1.0, counts, text)

    episodes = [
        attempt(0, 'joint_1 asks for 3.2 rad/s', refusals=2),
        attempt(1, 'joint_1 asks for 4.7 rad/s', refusals=1),
        attempt(2, 'joint_2 asks for 4.7 rad/s', refusals=1),
        attempt(3, 'ACTIVE: following', refusals=0),
    ]
    assert refusal_reasons(episodes) == {
        'joint_1 asks for 3.2 rad/s': 2,
        'joint_2 asks for 4.7 rad/s': 1,
    }
