"""`dit4dit bench`: how long a chunk takes, stage by stage, with the shortcuts and without them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.fast_path import PLAIN, Shortcuts
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model.cosmos.config import CosmosConfig
from dit4dit_policy.model.presets import preset

_INSTRUCTION = 'Put the flower into the vase.'
#: Sides of the matrices whose product tells the machine's rate.
_MATRIX = {'cpu': 2048, 'cuda': 8192}


@dataclass
class Side:
    """One of the two paths: per stage its durations [s], one a round, and its operations."""

    policy: DiT4DiTPolicy
    operations: dict[str, float]
    rounds: list[dict[str, float]]

    def seconds(self, stage: str) -> float:
        """Median over the rounds."""
        return float(np.median([durations[stage] for durations in self.rounds]))


def bench(name: str, rounds: int | None) -> None:
    """Prints what `compare` finds for the preset `name`, with random weights."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    backbone = preset(name).backbone
    large = isinstance(backbone, CosmosConfig) and backbone.text.encoder != 'bytes'
    dtype = torch.bfloat16 if large or device == 'cuda' else torch.float32
    rounds = (3 if large else 20) if rounds is None else rounds
    if rounds < 1:
        raise ValueError(f'--rounds: expected at least 1, got {rounds}')
    console = Console()
    console.print(f'{name}, random weights, {str(dtype).removeprefix("torch.")}, {_device(device)}')
    untrained = DiT4DiTPolicy.untrained(name, device, dtype)
    plain = replace(untrained, shortcuts=replace(PLAIN, prompt_once=large))
    fast = replace(untrained, shortcuts=Shortcuts(compiled=device == 'cuda'))
    if large:  # its text encoder has 7 billion weights more: the embedding is given
        assert isinstance(backbone, CosmosConfig)
        text = backbone.text
        embedding = torch.randn(1, text.tokens, text.width, dtype=dtype, device=device)
        for policy in (plain, fast):
            policy.prompts[_INSTRUCTION] = embedding
    sides, rates, difference, influence = compare(plain, fast, rounds)
    console.print(_table(*sides, float(np.median(rates))))
    console.print(
        f'{sides[0].seconds("all") / sides[1].seconds("all"):.2f} times as fast, medians of '
        f'{rounds} rounds in turn. Largest difference of a target: {difference:.1e} of its range; '
        f'another observation moves one by {influence:.1e}. '
        f'Matrix products meanwhile: {min(rates) / 1e9:.0f} .. {max(rates) / 1e9:.0f} GFLOP/s.'
    )


def compare(
    plain: DiT4DiTPolicy, fast: DiT4DiTPolicy, rounds: int
) -> tuple[tuple[Side, Side], list[float], float, float]:
    """Both paths in turn on the same observations; rates of matrix products [FLOP/s] in between.

    The difference is the largest of any target, as a share of its joint's range; so is how far
    another observation moves one: a difference well below that tells something. What is computed
    once a task, and compiled, is so before the first round.
    """
    observations = _observations(plain)
    first = next(observations)
    reference = fast.infer(first)
    sides = tuple(Side(policy, _operations(policy, first), []) for policy in (plain, fast))
    rates, difference, influence = [], 0.0, 0.0
    joints = plain.processor
    span = np.subtract(joints.action_upper, joints.action_lower)
    for _, observation in zip(range(rounds), observations, strict=False):
        rates.append(_matmul_rate(plain.model.action.position_embedding.weight))
        chunks = []
        for side in sides:
            chunks.append(side.policy.infer(observation))
            durations = side.policy.durations
            side.rounds.append(durations | {'all': sum(durations.values())})
        difference = max(difference, float(np.abs((chunks[0] - chunks[1]) / span).max()))
        influence = max(influence, float(np.abs((chunks[1] - reference) / span).max()))
    return (sides[0], sides[1]), rates, difference, influence


def _operations(policy: DiT4DiTPolicy, observation: Observation) -> dict[str, float]:
    """Floating-point operations of each stage of a chunk, in matrix products and convolutions."""
    counter: Any = FlopCounterMode(display=False)
    policy.clock = counter.get_total_flops
    with counter, torch.compiler.set_stance('force_eager'):
        policy.infer(observation)
    policy.clock = time.perf_counter
    return policy.durations | {'all': sum(policy.durations.values())}


def _observations(policy: DiT4DiTPolicy) -> Iterator[Observation]:
    rng = np.random.default_rng(0)
    middle = np.add(policy.processor.state_lower, policy.processor.state_upper) / 2
    while True:
        image = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
        state = middle + rng.uniform(-0.01, 0.01, len(middle))
        yield Observation(dict.fromkeys(policy.cameras, image), state, _INSTRUCTION)


def _matmul_rate(like: Tensor) -> float:
    """Of a large square matrix product [FLOP/s] as `like` would do it, the best of a few."""
    side = _MATRIX[like.device.type]
    matrix = torch.randn(side, side, dtype=like.dtype, device=like.device)
    durations = []
    for _ in range(4):
        start = time.perf_counter()
        product = matrix @ matrix
        product[0, 0].item()  # waits for a GPU
        durations.append(time.perf_counter() - start)
    return 2 * side**3 / min(durations)


def _device(device: str) -> str:
    if device == 'cuda':
        return torch.cuda.get_device_name()
    return f'CPU, {torch.get_num_threads()} threads'


def _table(plain: Side, fast: Side, rate: float) -> Table:
    table = Table(
        title=f'Time of a chunk; share of {rate / 1e9:.0f} GFLOP/s, the rate of matrix products'
    )
    for column in ('', 'plain', 'GFLOP', 'share', 'fast', 'GFLOP', 'share', 'ratio'):
        table.add_column(column, justify='left' if not column else 'right')
    image, backbone = plain.policy.model.backbone.stages
    stages = {
        'image': image,
        'backbone': backbone,
        'action_dit': 'action DiT',
        'rest': 'rest',
        'all': 'a chunk',
    }
    for stage, name in stages.items():
        cells = []
        for side in (plain, fast):
            seconds, operations = side.seconds(stage), side.operations[stage]
            share = f'{operations / seconds / rate:.0%}' if operations else ''
            cells += [f'{seconds * 1e3:.1f} ms', f'{operations / 1e9:.3g}', share]
        if stage == 'all':
            table.add_section()
        table.add_row(name, *cells, f'{plain.seconds(stage) / fast.seconds(stage):.2f}')
    return table
