"""`g1 dataset browse`: the episodes of a dataset in the browser, to play, judge and cut."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from g1_console.episodes.catalogue import Catalogue
from g1_console.episodes.page import episodes_page
from g1_console.episodes.player import EpisodePlayer
from g1_console.web.access import Access
from g1_console.web.server import serve
from g1_data import Dataset
from g1_data.mapping import ColumnMap

_ADDRESS = '127.0.0.1'


def main(arguments: list[str] | None = None) -> int:
    """Serves the page until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog='g1 dataset browse',
        description='Open the episodes of a dataset in the browser: sort them, play them, judge '
        'and cut them. The changes are written as a new dataset, never in place.',
    )
    parser.add_argument('root', type=Path, help='folder of the dataset')
    parser.add_argument('--port', type=int, default=8089, help='(default %(default)s)')
    parser.add_argument(
        '--map', type=Path, help="YAML file that says which of somebody else's columns are what"
    )
    given = parser.parse_args(arguments)
    mapping = ColumnMap.read(given.map) if given.map else None
    catalogue = Catalogue(Dataset(given.root, mapping))
    ended = threading.Event()
    page = episodes_page(Access(_ADDRESS, ''), catalogue, lambda index: player.open(index))
    server = serve(page, _ADDRESS, given.port)
    player = EpisodePlayer(server, catalogue)
    measuring = threading.Thread(target=catalogue.measure_all, args=(ended.is_set,), daemon=True)
    measuring.start()
    print(
        f'{len(catalogue.dataset.episodes)} episodes at http://{_ADDRESS}:{given.port} '
        '(Ctrl-C ends)',
        flush=True,
    )
    try:
        ended.wait()
    except KeyboardInterrupt:
        ended.set()
    finally:
        player.close()
        server.stop()
        measuring.join()
    if catalogue.changes:
        print(
            f'{len(catalogue.changes)} episodes have changes that are not written; they are kept '
            f'in {catalogue.kept} for the next time',
            file=sys.stderr,
        )
    return 0
