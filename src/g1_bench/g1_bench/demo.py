"""`g1 demo`: one run of the policy system in simulation, and a folder that tells what happened.

    g1 demo --task arrange_flower --seed 0

Expect a report, a plot and three videos in runs/<time>-<task>/ after about a minute. The exit code
is 0 when the system worked, whether or not the task succeeded.

    g1 demo --task arrange_flower --duration 15 --seed 10000 --episodes 10

starts everything anew for each of ten seeds, and prints how often the task was done: what
`dit4dit eval` counts, but over ROS and in real time. An attempt ends when the task is done.
`dit4dit eval --compare` takes its folder, too, beside one of an evaluation of the same scenes.

    g1 demo --task pick_and_place policy:=remote server:=ws://127.0.0.1:10093

asks a policy server (`dit4dit serve`).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from g1_bench.demo_session import Session, demo_node
from g1_bench.demo_tables import run_table, success_table
from g1_bench.launched import DemoError, launched, run_folder, take_domain
from g1_bench.report import report
from g1_bench.run_plots import (
    FPS,
    camera_frames,
    foresight_frames,
    plot_joints,
    write_video,
)
from g1_bringup.arguments import check, given_by
from g1_bringup.systems import find
from g1_sim.rendering import check_rendering
from g1_sim.replay import render
from g1_sim.tasks import load_task

_SYSTEM = 'policy.launch.py'
_SLOWER = 5.0  # [s] that a policy may take longer than attempts in evaluation


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; returns 0 when the system worked, 1 when it did not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog='g1 demo', description='Run a task in simulation and write a report about it.'
    )
    parser.add_argument('--task', default='arrange_flower', help='default: %(default)s')
    parser.add_argument(
        '--duration', type=float, help='seconds at most; default: what the task takes at most'
    )
    parser.add_argument('--seed', default='0', help='of the scene; default: %(default)s')
    parser.add_argument(
        '--episodes', type=int, default=1, help='attempts, each with the next seed; default: 1'
    )
    parser.add_argument('--out', type=Path, default=Path('runs'), help='default: %(default)s')
    parser.add_argument(
        'launch', nargs='*', metavar='NAME:=VALUE',
        help='more arguments of policy.launch.py, as policy:=remote server:=ws://HOST:PORT',
    )  # fmt: skip
    given = parser.parse_args(arguments)
    if given.duration is not None and not 0.0 < given.duration <= 3600.0:
        parser.error(f'--duration: expected seconds from 0 to 3600, got {given.duration:g}')
    if given.episodes < 1:
        parser.error(f'--episodes: expected at least 1, got {given.episodes}')
    check_rendering()
    texts = {'task': given.task, 'seed': given.seed, **given_by(given.launch)}
    task = str(check(find(_SYSTEM), texts)['task'])
    seconds = given.duration or load_task(task).time_limit + _SLOWER

    console = Console()
    folder = run_folder(given.out, task)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    try:
        if given.episodes == 1:
            console.print(run_table(_demo(folder, texts, seconds, console), folder))
        else:
            _episodes(folder, texts, seconds, given.episodes, console)
    except DemoError as error:
        console.print(f'[bold red]error:[/] {escape(str(error))}', soft_wrap=True, highlight=False)
        console.print(f'All output of the nodes is in log.txt, in {folder}', soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print(f'interrupted; the log so far is in {folder}')
        return 130
    return 0


def _episodes(
    folder: Path, texts: dict[str, str], seconds: float, count: int, console: Console
) -> None:
    """Attempts one after the other, each in a system of its own; then how they went."""
    contents: list[dict[str, Any]] = []
    first = int(texts['seed'])
    for seed in range(first, first + count):
        attempt = folder / f'seed-{seed}'
        attempt.mkdir()
        one = {**texts, 'seed': str(seed)}
        contents.append(_demo(attempt, one, seconds, console, outside=False))
        console.print(success_table(contents))
        text = json.dumps({'results': contents}, indent=2)
        (folder / 'results.json').write_text(f'{text}\n')
    console.print(f'{folder / "results.json"}', soft_wrap=True)


def _demo(
    folder: Path,
    texts: dict[str, str],
    seconds: float,
    console: Console,
    outside: bool = True,
) -> dict[str, Any]:
    """Runs everything and fills the folder; returns the report.

    texts: arguments of policy.launch.py. A run ends when the task is done; `outside` renders
    overview.mp4 of it.
    """
    with TemporaryDirectory(prefix='scratch-', dir=folder) as scratch:
        return _run(folder, Path(scratch), texts, seconds, console, outside)


def _run(
    folder: Path,
    scratch: Path,
    texts: dict[str, str],
    seconds: float,
    console: Console,
    outside: bool,
) -> dict[str, Any]:
    values = check(find(_SYSTEM), texts)
    task, seed = str(values['task']), int(str(values['seed']))
    take_domain(values)
    console.print(
        f'{task} for {seconds:g} s at most, seed {seed}; to look in from another shell: '
        f'export ROS_DOMAIN_ID={os.environ["ROS_DOMAIN_ID"]}',
        soft_wrap=True,
    )
    log, images = scratch / 'simulation.npz', scratch / 'images.cdr'
    given = {**texts, 'sim_log': str(log.resolve()), 'run': 'false'}
    words = [_SYSTEM, *(f'{name}:={text}' for name, text in given.items())]
    with (
        launched(words, folder / 'log.txt') as alive,
        demo_node() as node,
        Session(node, images, alive, console) as session,
    ):
        session.wait_until_ready()
        session.arm()
        run = session.run_task(task, seed, seconds)
        session.disarm()
    record = session.record
    content = report(record, run)
    (folder / 'report.json').write_text(json.dumps(content, indent=2) + '\n')
    plot_joints(record, run, folder / 'joints.png')
    write_video(camera_frames(record, run, images), folder / 'ego.mp4')
    write_video(foresight_frames(record, run, images), folder / 'imagined.mp4')
    if not outside:
        return content
    total = int(run.seconds * FPS)
    frames = render(log, 'overview', FPS, start=run.start, end=run.end)
    write_video(
        track(frames, 'rendering overview.mp4', total, console=console), folder / 'overview.mp4'
    )
    return content
