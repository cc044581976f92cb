"""The command `dit4dit`: each subcommand is a function below, registered in `_COMMANDS`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dit4dit_policy.evaluation import evaluate, imagine, surprise
from dit4dit_policy.experiments import command as experiment
from dit4dit_policy.serving import server
from dit4dit_policy.training import correct
from g1_data.disk import explained, says_full_disk


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand. Mistakes in files or arguments are one line and exit code 2."""
    parser = argparse.ArgumentParser(
        prog='dit4dit', description='Train and look into DiT4DiT policies.'
    )
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    for name, command in _COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help)
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except OSError as error:
        print(f'error: {explained(error)}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--config', type=Path, required=True, metavar='FILE', help='see config/train_nano.yaml'
    )
    parser.add_argument(
        '--data',
        type=Path,
        nargs='+',
        metavar='DIR',
        help='LeRobot datasets, in equal shares, in place of those in the file',
    )
    parser.add_argument('--output', type=Path, metavar='DIR', help='in place of that in the file')
    parser.add_argument(
        '--init-from', metavar='DIR', help='checkpoint to begin with, in place of that in the file'
    )
    parser.add_argument(
        '--cameras',
        metavar='NAMES',
        help='that the model sees, as head,left_wrist; in place of those in the file',
    )
    parser.add_argument(
        '--rounds',
        type=int,
        metavar='K',
        help='how often an expert then corrects the policy in simulation and it is trained on that '
        'too, as `rounds` in the file says (default: as there)',
    )


def _train(options: argparse.Namespace) -> int:
    from dit4dit_policy.training.config import TrainConfig
    from dit4dit_policy.training.rounds import train_in_rounds

    config = TrainConfig.read(options.config)
    if options.data:
        config = replace(config, datasets={str(folder): 1.0 for folder in options.data})
    if options.output:
        config = replace(config, output=str(options.output))
    if options.init_from:
        config = replace(config, init_from=options.init_from)
    if options.cameras:
        config = replace(config, cameras=tuple(options.cameras.split(',')))
    if options.rounds is not None:
        config = replace(config, rounds=replace(config.rounds, count=options.rounds))
    with says_full_disk(Path(config.output)):
        folder = train_in_rounds(config)
    print(f'checkpoint: {folder}')
    return 0


def _info(options: argparse.Namespace) -> int:
    from dit4dit_policy.inference.shipped import checkpoint_folder
    from dit4dit_policy.info import show

    return show(checkpoint_folder(options.checkpoint))


def _convert_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--released', type=Path, metavar='FILE', help='.pt file of a released checkpoint'
    )
    parser.add_argument(
        '--cosmos',
        type=Path,
        metavar='DIR',
        help='Cosmos-Predict2.5-2B in the layout of diffusers: alone, the start of a training; '
        'with --released, where its frozen VAE and text encoder are',
    )
    parser.add_argument(
        '--step', type=float, metavar='S', help='seconds between two actions of the data'
    )
    parser.add_argument(
        '--robot',
        default='g1_aloha',
        metavar='NAME',
        help='embodiment, or its YAML, with the groups of its training (default: %(default)s)',
    )
    parser.add_argument(
        '--embodiment', metavar='NAME', help='whose statistics, where there are several'
    )
    parser.add_argument('--out', type=Path, metavar='DIR', help='the new folder')
    parser.add_argument(
        '--upgrade', type=Path, metavar='DIR', help='a checkpoint of an older version, in place'
    )


def _convert(options: argparse.Namespace) -> int:
    from dit4dit_policy import convert

    return convert.main(options)


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "A golden folder holds inputs and outputs recorded from tiny networks of the authors' own "
        'code; it does not ship with this suite. docs/model.md tells its format, and '
        'src/dit4dit_policy/test/test_verify.py makes one.'
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        '--golden', type=Path, metavar='DIR', help='recorded outputs of the published networks'
    )
    what.add_argument(
        '--keys', type=Path, metavar='FILE', help='names and shapes of a published checkpoint, JSON'
    )


def _verify(options: argparse.Namespace) -> int:
    from dit4dit_policy.verify import verify_golden, verify_keys

    return verify_golden(options.golden) if options.golden else verify_keys(options.keys)


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--preset',
        choices=('nano', 'released', 'g1'),
        default='nano',
        help='nano: 4 million weights, float32 on a CPU; the others: 2.4 billion, bfloat16, '
        'takes 7 GB of memory (default: %(default)s)',
    )
    parser.add_argument(
        '--rounds', type=int, metavar='N', help='of both paths (default: 20, of the large ones 3)'
    )


def _bench(options: argparse.Namespace) -> int:
    from dit4dit_policy.benchmark import bench

    bench(options.preset, options.rounds)
    return 0


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--checkpoint', default='', metavar='DIR',
        help='its folder, or the name of a shipped one (default: small)',
    )  # fmt: skip
    parser.add_argument(
        '--authors', type=Path, required=True, metavar='DIR',
        help='new folder for the files that a client of the published server reads',
    )  # fmt: skip


def _export(options: argparse.Namespace) -> int:
    from dit4dit_policy.serving.export import export_checkpoint

    path, robot = export_checkpoint(options.checkpoint, options.authors)
    print(f'the checkpoint for a client: {path}; its server has --embodiment {robot}')
    return 0


@dataclass(frozen=True)
class _Command:
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], object]
    run: Callable[[argparse.Namespace], int]


_COMMANDS = {
    'train': _Command('Train a policy on LeRobot datasets.', _train_arguments, _train),
    'info': _Command(
        'Show what a checkpoint is and how it was trained.',
        lambda p: p.add_argument(
            'checkpoint', metavar='CHECKPOINT', help='its folder, or its name'
        ),
        _info,
    ),
    'convert': _Command(
        'Turn a released checkpoint, or Cosmos-Predict2.5-2B, into a checkpoint of ours.',
        _convert_arguments,
        _convert,
    ),
    'verify': _Command(
        'Compare the model with recorded outputs, or with the weights, of the published one.',
        _verify_arguments,
        _verify,
    ),
    'bench': _Command(
        'Time every stage of a chunk, with the shortcuts of inference and without them.',
        _bench_arguments,
        _bench,
    ),
    'eval': _Command(
        'Let a policy do a task in simulation, and count how often it succeeds.',
        evaluate.add_arguments,
        evaluate.main,
    ),
    'correct': _Command(
        'Let an expert take over from a policy, and record what it shows, to train on.',
        correct.add_arguments,
        correct.main,
    ),
    'experiment': _Command(
        'Ask a small model a question of the paper: trainings that differ in one thing.',
        experiment.add_arguments,
        experiment.main,
    ),
    'serve': _Command(
        'Answer over a WebSocket what a policy does: to robots, and to clients of others.',
        server.add_arguments,
        server.main,
    ),
    'export': _Command(
        'Write what the published clients read of a checkpoint that is served.',
        _export_arguments,
        _export,
    ),
    'imagine': _Command(
        'Show the future that a policy expects, as a video.',
        imagine.add_arguments,
        imagine.main,
    ),
    'surprise': _Command(
        'See what would have warned of failures, and set the limit above which a policy says so.',
        surprise.add_arguments,
        surprise.main,
    ),
}
