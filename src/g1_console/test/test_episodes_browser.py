"""Browsing a dataset as a person does: a real browser, a grid, an episode that plays, a new set.

G1_CONSOLE_PICTURES=docs python -m pytest src/g1_console/test/test_episodes_browser.py

makes the picture of docs/data.md too.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from console_pictures import CLI, VIEWER, keep, press
from recorded_episodes import demonstrated, multiplied

from g1_data import Dataset
from g1_data.validate import validate
from g1_test_support.browser import Browser
from g1_test_support.processes import Program, python
from g1_test_support.waiting import wait_until

CARDS = "[...document.querySelectorAll('.card')]"
TOLD = "document.getElementById('told').innerText"

pytestmark = pytest.mark.browser


@contextmanager
def browsed(root: Path) -> Iterator[tuple[Browser, float]]:
    """The page, once the grid is there, and how long that took from the command on [s]."""
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = int(probe.getsockname()[1])
    with Browser() as browser:
        started = time.monotonic()
        command = python(CLI, 'dataset', 'browse', str(root), '--port', str(port))
        with Program(command) as program:
            program.wait_for(f'at http://127.0.0.1:{port} (Ctrl-C ends)')
            browser.open(f'http://127.0.0.1:{port}/')
            browser.wait_for(f'{CARDS}.length')
            yield browser, time.monotonic() - started


def write_into(browser: Browser, label: str, words: str) -> None:
    """Types into a text field of the panels, by what stands before it."""
    field = (
        f"[...{VIEWER}.querySelectorAll('label')].find(l => l.innerText == '{label}')"
        ".closest('div[class*=Box], div').parentElement.querySelector('input')"
    )
    browser.wait_for(field)
    browser.run(f'{field}.focus()')
    browser.run(f'{field}.select()')
    browser.command('Input.insertText', text=words)


def place(browser: Browser) -> float:
    """How far the episode has been played, of 1."""
    found = browser.run(f"{VIEWER}.body.innerHTML.match(/--at:([0-9.]+)%/)?.[1] ?? '-1'")
    return float(found) / 100.0


def test_an_episode_plays_is_judged_and_cut_and_a_new_dataset_is_written(tmp_path):
    demonstrated(tmp_path / 'demonstrations')
    with browsed(tmp_path / 'demonstrations') as (browser, _):
        browser.wait_for(f"{CARDS}.every(card => card.innerText.includes('jerk'))")
        browser.wait_for(f'{CARDS}.every(card => card.firstChild.naturalWidth)')
        browser.resize(1280, 310)
        keep(browser, 'episodes.png')
        browser.resize(1280, 800)
        browser.run("document.getElementById('by').value = 'length'")
        browser.run("document.getElementById('down').click()")
        in_order = f'{CARDS}.map(card => card.dataset.index).join()'
        assert browser.run(in_order) == '0,2,1,5,4,3'

        browser.run(f'{CARDS}[0].click()')
        browser.wait_for(f"{VIEWER}.querySelector('canvas')")
        browser.wait_for(f"{VIEWER}.querySelector('img').naturalWidth >= 320")
        wait_until(lambda: place(browser) == 1.0, 'the episode to play by itself')
        press(browser, 'failure')
        press(browser, 'again')
        wait_until(lambda: 0.4 < place(browser) < 1.0, 'the episode to play again')
        press(browser, 'pause')
        browser.wait_for(f"{VIEWER}.body.innerText.includes('a failure')")
        keep(browser, 'episode.png')
        browser.press('ArrowRight')  # the next in the order of the grid
        browser.wait_for(f"{VIEWER}.body.innerText.includes('episode 2 of 6')")
        wait_until(lambda: place(browser) == 1.0, 'the next episode to play')
        press(browser, 'begin')
        browser.wait_for(f"{VIEWER}.body.innerText.includes('rows 65 to 66')")
        rows = Dataset(tmp_path / 'demonstrations').data_path(1)
        whole = rows.read_bytes()
        rows.write_bytes(b'nothing')
        browser.press('ArrowRight')
        browser.wait_for(f"{VIEWER}.body.innerText.includes('episode 1 cannot be read')")
        press(browser, 'drop')  # that one, not the one before
        browser.press('Escape')
        browser.wait_for(f"{CARDS}.find(c => c.dataset.index == 1).innerText.includes('dropped')")
        rows.write_bytes(whole)
        assert '3 changed' in browser.run(TOLD)

        browser.run(f'{CARDS}[0].click()')
        write_into(browser, 'Folder', str(tmp_path / 'new'))
        press(browser, 'write')
        browser.wait_for(f"{VIEWER}.body.innerText.includes('written, 5 episodes')")
    new = Dataset(tmp_path / 'new')
    assert validate(new.root) == validate(tmp_path / 'demonstrations') == []
    assert [episode.length for episode in new.episodes] == [87, 2, 45, 47, 60]
    assert (new.episodes[0].health or {})['outcome'] == 'failure'
    assert len(Dataset(tmp_path / 'demonstrations').episodes) == 6


def test_1400_episodes_open_within_a_deadline_and_only_those_in_view_are_decoded(tmp_path):
    multiplied(tmp_path / 'set', 1400)
    with browsed(tmp_path / 'set') as (browser, whole):
        browser.wait_for(f'{CARDS}.filter(card => card.firstChild.naturalWidth).length > 10')
        assert browser.run(f'{CARDS}.length') == 1400
        assert browser.run(f'{CARDS}.filter(card => card.firstChild.src).length') < 100
        shown = browser.run("performance.getEntriesByName('shown')[0].startTime") / 1e3
    print(
        f'\n1,400 episodes: the grid {whole:.2f} s after the command, {shown:.2f} s in the browser'
    )
