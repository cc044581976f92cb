"""`g1 bench recording`: what it makes of a recorded episode."""

import numpy as np
from rich.console import Console

from g1_bench.benchmarks.recording import recorded, table
from g1_data import DatasetWriter, Extra, Schema
from g1_description import load_embodiment

SOURCES = ('image', 'command', 'operator')


def test_numbers_are_those_of_the_recorded_episode(tmp_path):
    extras = {'residual': Extra(SOURCES)}
    schema = Schema.of(load_embodiment(), {'head': (48, 64)}, fps=30, extras=extras)
    health = {
        'healthy': False,
        'text': '2 frames missed',
        'image_rate_hz': 29.5,
        'command_rate_hz': 249.0,
        'image_gap_s': 0.07,
        'image_age_s': 0.012,
        'frames_missed': 2,
        'frames_dropped': 0,
    }
    with DatasetWriter.create(tmp_path / 'set', schema) as writer:
        episode = writer.episode('task')
        for k in range(9):
            row = {'residual': np.array([0.001 * k, 0.002, 0.0])}
            image = np.zeros((48, 64, 3), np.uint8)
            episode.add(np.zeros(16), np.zeros(16), {'head': image}, row)
        episode.save(health)
    found = recorded(tmp_path / 'set')
    assert found['frames'] == 9
    assert found['faults'] == []
    assert found['residual_ms'] == {
        'image': {'p50': 4.0, 'max': 8.0},
        'command': {'p50': 2.0, 'max': 2.0},
    }
    console = Console(width=120, record=True)
    console.print(table({'seconds': 3.0, 'cpu_share': 0.2, 'commands_sent_hz': 250.0, **found}))
    text = console.export_text()
    for expected in (
        '9 recorded, 2 missed, 0 dropped',
        'largest gap 70 ms',
        'valid',
        '20% of a core',
    ):
        assert expected in text
