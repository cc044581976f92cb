"""Whatever a dataset holds, no command ends in a traceback: sets mutated at random."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from g1_data import DatasetWriter, Extra, Schema
from g1_data.cli import main
from g1_description import load_embodiment

SHAPE = (32, 48)
#: What stands where something else should.
STRANGE: tuple[Any, ...] = (
    None, 0, -1, 3, 1.5, 10**30, float('nan'), True, '', 'x', '\u2028', '\ud800', [], [[]], {},
    [1, 'a'], {'a': 1}, [None], 'v3.0', 'float64', 'video', [16], [0], [-3], [16, 16],
)  # fmt: skip


@pytest.fixture(scope='module')
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset of two cameras in v2.1 and in v3.0."""
    folder = tmp_path_factory.mktemp('sets')
    schema = Schema.of(
        load_embodiment(),
        {'head': SHAPE, 'left_wrist': SHAPE},
        extras={'stamp': Extra(('s',), 'float64')},
    )
    rng = np.random.default_rng(0)
    with DatasetWriter.create(folder / 'two', schema) as writer:
        for number in range(2):
            with writer.episode(f'Task {number}.') as episode:
                for k in range(4):
                    image = np.full((*SHAPE, 3), 40 * k, np.uint8)
                    images = {'head': image, 'left_wrist': image}
                    state, action = rng.normal(size=(2, 16))
                    episode.add(state, action, images, {'stamp': np.array([k])})
                episode.save({'healthy': False, 'text': '[red'})
    words = ['convert', str(folder / 'two'), '--to', 'v3.0', '--out', str(folder / 'three')]
    assert main(words) == 0
    return folder / 'two', folder / 'three'


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every entry of a JSON document: what it is in, and its key there."""
    if isinstance(content, dict | list):
        for key in list(content) if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from places(content[key])


def mutate_json(content: Any, rng: random.Random) -> Any:
    inside, key = rng.choice(list(places(content)) or [([None], 0)])
    change = rng.random()
    if change < 0.25 and isinstance(inside, dict):
        del inside[key]
    elif change < 0.4 and isinstance(inside, dict):
        inside[rng.choice(['x', '', 'names', 'action'])] = inside.pop(key)
    else:
        inside[key] = rng.choice(STRANGE)
    return content


def mutate_parquet(path: Path, rng: random.Random) -> None:
    table = pq.read_table(path)
    name = rng.choice(table.column_names)
    place, size = table.column_names.index(name), len(table)
    change = rng.choice(['drop', 'null', 'type', 'rows', 'rename', 'nan', 'lists'])
    if change == 'drop':
        table = table.drop_columns([name])
    elif change == 'null':
        table = table.set_column(place, name, pa.nulls(size, table[name].type))
    elif change == 'rows':
        table = table.slice(0, rng.randrange(size + 1))
    elif change == 'rename':
        table = table.rename_columns(['x' if n == name else n for n in table.column_names])
    else:
        values = {
            'type': pa.array(['text'] * size),
            'nan': pa.array([float('nan')] * size),
            'lists': pa.array([[1.0] * (k % 3) for k in range(size)]),
        }
        table = table.set_column(place, name, values[change])
    pq.write_table(table, path)


def mutate_bytes(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    change = rng.random()
    if change < 0.3:
        content = content[: rng.randrange(len(content) + 1)]
    elif content:
        for _ in range(rng.choice([1, 3, 30])):
            content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content)


def mutate(root: Path, rng: random.Random) -> str:
    """Changes one file of the dataset; returns which."""
    paths = sorted(path for path in root.rglob('*') if path.is_file())
    meta = [path for path in paths if path.suffix in ('.json', '.jsonl')]
    path = rng.choice(meta if rng.random() < 0.6 else paths)
    change = rng.random()
    if change < 0.1:
        path.unlink()
        return str(path.relative_to(root))
    try:
        mutate_content(path, rng, whole=change > 0.25)
    except (ValueError, pa.ArrowException):  # it was changed before, and is no JSON any more
        mutate_bytes(path, rng)
    return str(path.relative_to(root))


def mutate_content(path: Path, rng: random.Random, whole: bool) -> None:
    """`whole`: it stays a file of its kind, where its kind is JSON or parquet."""
    if not whole:
        mutate_bytes(path, rng)
    elif path.suffix == '.json':
        path.write_text(json.dumps(mutate_json(json.loads(path.read_text()), rng)))
    elif path.suffix == '.jsonl':
        lines = [json.loads(line) for line in path.read_text().split('\n') if line]
        number = rng.randrange(len(lines))
        lines[number] = mutate_json(lines[number], rng)
        if rng.random() < 0.2:
            lines.insert(rng.randrange(len(lines)), rng.choice([*lines, *STRANGE]))
        path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    elif path.suffix == '.parquet':
        mutate_parquet(path, rng)
    else:
        mutate_bytes(path, rng)


def check(source: Path, folder: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(seed)
    root, out, rest = (folder / name for name in ('set', 'out', 'rest'))
    shutil.copytree(source, root)
    changed = [mutate(root, rng) for _ in range(rng.choice([1, 1, 1, 2, 4]))]
    commands: list[tuple[str, ...]] = [
        ('validate', str(root)),
        ('info', str(root), '--picture', str(folder / 'sheet.png')),
        ('merge', str(root), '--out', str(out)),
        ('drop', str(root), '0', '--out', str(out)),
        ('split', str(root), '0.5', '--rest', str(rest), '--out', str(out)),
        ('convert', str(root), '--to', 'v3.0', '--out', str(out)),
        ('stats', str(root)),
    ]
    chosen = [commands[0], rng.choice(commands[1:])]
    if source.name == 'three':
        chosen = [('convert', str(root), '--to', 'v2.1', '--out', str(out)), commands[0]]
    for words in chosen:
        code = main(words)
        said = capsys.readouterr()
        told = f'seed {seed}, {changed}: {words[0]}'
        assert code in (0, 1, 2), told
        assert code != 2 or said.err.startswith('error: '), told
        if code == 2:
            assert not out.exists() or words[0] == 'split', told
            assert len(said.err.removeprefix('error: ').strip()) > 20, told
        undecoded = any(name.endswith('.mp4') for name in changed)
        if code == 0 and words[0] in ('merge', 'drop') and not undecoded:
            assert main(['validate', str(out)]) == 0, f'{told} made a set with faults'
        shutil.rmtree(out, ignore_errors=True)


def run(sets: tuple[Path, Path], folder: Path, seeds: range, capsys: Any) -> None:
    for seed in seeds:
        place = folder / f'{seed}'
        place.mkdir()
        try:
            check(sets[seed % 4 == 0], place, seed, capsys)
        except Exception as error:
            raise AssertionError(f'seed {seed}: {type(error).__name__}: {error}') from error
        shutil.rmtree(place)


def test_no_mutated_dataset_ends_in_a_traceback(
    sets: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(sets, tmp_path, range(60), capsys)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_mutated_dataset_of_a_thousand_ends_in_a_traceback(
    sets: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(sets, tmp_path, range(60, 1060), capsys)
