"""`g1 dagger`: a policy learns from the scripted operator who helps it, over ROS, round by round.

    g1 dagger --task pick_and_place --rounds 1

In each round the policy attempts the task in simulation (policy.launch.py takeover:=true), and
where it stands still, the operator takes the arms and finishes; what the operator did is then
trained on, beside demonstrations of `g1 expert`, from the checkpoint before. The first checkpoint
and each round's attempt the same scenes, and a table says which did which. Killed, it goes on with
`--out FOLDER` where it was.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from dit4dit_policy.cli import main as policy_command
from dit4dit_policy.inference.shipped import DEFAULT
from dit4dit_policy.training.config import TrainConfig
from g1_bench.launched import DemoError, run_folder
from g1_bench.recording_session import recorded
from g1_data import Dataset
from g1_ros.config import config_path
from g1_sim.expert_command import main as expert_command
from g1_sim.rendering import check_rendering
from g1_sim.tasks import load_task

_SEEDS = 200_000  # of the first attempt; a thousand more each round


def main(arguments: list[str] | None = None) -> int:
    """Goes through all rounds; returns 0, or what the step that failed does."""
    parser = argparse.ArgumentParser(
        prog='g1 dagger',
        description='Let a policy attempt a task in simulation, with a scripted operator who takes '
        'over where it does not get on, and train it on what the operator did.',
    )
    parser.add_argument('--task', default='pick_and_place', help='default: %(default)s')
    parser.add_argument('--rounds', type=int, default=1, help='default: %(default)s')
    parser.add_argument(
        '--episodes', type=int, default=20, help='attempts each round; default: %(default)s'
    )
    parser.add_argument(
        '--demonstrations', type=int, default=60, metavar='N',
        help="the expert's, which are trained on as well; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        '--evaluated', type=int, default=50, metavar='N',
        help='scenes that each checkpoint attempts; default: %(default)s',
    )  # fmt: skip
    parser.add_argument(
        '--config', type=Path, default=config_path('train_teleop.yaml'), metavar='FILE',
        help='of the training, but for where it begins; default: config/train_teleop.yaml',
    )  # fmt: skip
    parser.add_argument(
        '--checkpoint', default='', metavar='DIR',
        help='that is helped first; default: the shipped one',
    )  # fmt: skip
    parser.add_argument(
        '--out', type=Path, metavar='FOLDER', help='default: runs/<time>-dagger-<task>'
    )
    given = parser.parse_args(arguments)
    for name in ('rounds', 'episodes', 'demonstrations', 'evaluated'):
        if getattr(given, name) < 1:
            parser.error(f'--{name}: expected at least 1, got {getattr(given, name)}')
    check_rendering()
    load_task(given.task)
    config = TrainConfig.read(given.config)
    if given.demonstrations * config.val_fraction < 1:
        parser.error(
            f'--demonstrations: expected at least {math.ceil(1 / config.val_fraction)}, of which '
            f'val_fraction of {given.config} holds one out, got {given.demonstrations}'
        )
    folder = given.out or run_folder(Path('runs'), f'dagger-{given.task}')
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    try:
        _rounds(given, config, folder, console)
    except DemoError as error:
        console.print(f'[bold red]error:[/] {escape(str(error))}', soft_wrap=True, highlight=False)
    except KeyboardInterrupt:
        console.print('interrupted')
    else:
        return 0
    console.print(f'it goes on with --out {folder}', soft_wrap=True)
    return 1


def _rounds(given: argparse.Namespace, config: TrainConfig, folder: Path, console: Console) -> None:
    """Raises DemoError where a step fails, KeyboardInterrupt when it is interrupted."""
    from dit4dit_policy.training.rounds import round_config
    from dit4dit_policy.training.train import train

    demonstrations = folder / 'demonstrations'
    if not demonstrations.exists():
        words = ('--episodes', str(given.demonstrations), '--out', str(demonstrations))
        _done(expert_command([given.task, *words]), 'g1 expert')
    config = replace(config, datasets={str(demonstrations): 1.0})
    checkpoint, corrections = given.checkpoint or DEFAULT, list[Path]()
    before = _evaluated(given, checkpoint, folder / 'before')
    for number in range(1, given.rounds + 1):
        round_folder = folder / f'round-{number}'
        round_folder.mkdir(exist_ok=True)
        corrections.append(round_folder / 'dataset')
        if _episodes(corrections[-1]) < given.episodes:
            settings = {
                'task': given.task,
                'seed': str(_SEEDS + 1000 * number),
                'takeover': 'true',
                'checkpoint': checkpoint,
                'episodes': str(given.episodes),
            }
            session = recorded('policy.launch.py', settings, round_folder, console)
            console.print(session.table(round_folder))
        training = round_config(config, checkpoint, corrections, round_folder / 'training')
        checkpoint = str(train(training))
        after = _evaluated(given, checkpoint, round_folder / 'after')
        _done(policy_command(['eval', '--compare', str(before), str(after)]), 'dit4dit eval')


def _episodes(dataset: Path) -> int:
    return len(Dataset(dataset).episodes) if dataset.exists() else 0


def _evaluated(given: argparse.Namespace, checkpoint: str, out: Path) -> Path:
    words = ('--task', given.task, '--checkpoint', checkpoint, '--episodes', str(given.evaluated))
    _done(policy_command(['eval', *words, '--out', str(out)]), 'dit4dit eval')
    return out


def _done(code: int, command: str) -> None:
    """Raises KeyboardInterrupt, or DemoError, for the exit code of a command that did not work."""
    if code == 130:
        raise KeyboardInterrupt
    if code != 0:
        raise DemoError(f'{command} ended with {code}')
