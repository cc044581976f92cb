"""Episodes to look at: what is told of them, cuts, changes that are kept, their pictures."""

import io
import socket
from pathlib import Path

import numpy as np
import pytest
import viser
from PIL import Image
from recorded_episodes import HOME, recorded

from g1_console.episodes.catalogue import Catalogue
from g1_console.episodes.opened import OpenedEpisode
from g1_console.episodes.player import EpisodePlayer
from g1_console.web.joint_plots import episode_plots_html
from g1_data.validate import validate
from g1_test_support.waiting import wait_until


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(recorded(tmp_path / 'set'))


def test_entries_and_measures_are_what_the_grid_sorts_by(catalogue: Catalogue) -> None:
    catalogue.measure_all(lambda: False)
    entries = [a | b for a, b in zip(catalogue.entries(), catalogue.measures(0), strict=True)]
    assert [entry['length'] for entry in entries] == [4.0, 4.5, 5.0, 5.5]
    assert [entry['outcome'] for entry in entries] == ['success', 'failure', '', 'success']
    assert [entry['health'] for entry in entries] == ['', 'head: no image for 0.31 s', '', '']
    assert entries[0]['source'] == 'policy 50 %, operator 50 %'
    assert len(catalogue.measures(3)) == 1


def test_an_episode_that_cannot_be_read_is_said_and_the_others_are_measured(
    catalogue: Catalogue,
) -> None:
    catalogue.dataset.data_path(1).write_bytes(b'nothing')
    catalogue.measure_all(lambda: False)
    measures = catalogue.measures(0)
    assert 'not a parquet file' in measures[1]['error'] and 'jerk' in measures[2]


def test_a_thumbnail_is_the_middle_of_the_episode(catalogue: Catalogue) -> None:
    image = np.asarray(Image.open(io.BytesIO(catalogue.thumbnail(0))))
    assert image.shape == (120, 160, 3)
    orange = image[60, :, 0].astype(int) - image[60, :, 2] > 60
    assert orange.mean() == pytest.approx(0.5, abs=0.05)


def test_a_thumbnail_that_cannot_be_made_says_why(catalogue: Catalogue) -> None:
    catalogue.dataset.video_path(1).write_bytes(b'nothing')
    with pytest.raises(ValueError, match='cannot be decoded'):
        catalogue.thumbnail(1)
    with pytest.raises(LookupError):
        catalogue.thumbnail(4)


def test_cuts_go_to_rows_where_the_video_can_be_cut(catalogue: Catalogue) -> None:
    assert catalogue.cut(0, 7, 'begin').parts == ((5, 40),)
    assert catalogue.cut(0, 31, 'end').parts == ((5, 35),)
    assert catalogue.cut(0, 20, 'split').parts == ((5, 20), (20, 35))
    assert catalogue.cut(0, 12, 'begin').parts == ((10, 20), (20, 35))
    for row in (20, 38):
        with pytest.raises(ValueError, match='nothing can be cut'):
            catalogue.cut(0, row, 'split')
    with pytest.raises(ValueError, match='nothing can be cut'):
        catalogue.cut(0, 39, 'begin')


def test_changes_wait_for_the_next_time_until_they_are_written(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match='nothing is changed'):
        catalogue.write(tmp_path / 'new', lambda _: None)
    catalogue.change(0, dropped=True)
    catalogue.change(1, outcome='success')
    catalogue.change(1, outcome=None)
    catalogue.change(2, flag='odd')
    again = Catalogue(catalogue.dataset)
    assert {k: c.words for k, c in again.changes.items()} == {0: 'dropped', 2: 'flag: odd'}
    with pytest.raises(ValueError, match='exists'):
        again.write(catalogue.dataset.root, lambda _: None)
    assert len(again.changes) == 2
    told: list[str] = []
    new = again.write(tmp_path / 'new', told.append)
    assert told[-1] == 'writing episode 3 of 3'
    assert validate(new.root) == [] and again.changes == Catalogue(catalogue.dataset).changes == {}
    assert not catalogue.kept.exists()
    assert [entry['flag'] for entry in Catalogue(new).entries()] == ['', 'odd', '']


def test_pictures_are_those_of_the_row_wherever_one_jumps(catalogue: Catalogue) -> None:
    opened = OpenedEpisode(catalogue.dataset, 0)
    for row in (0, 1, 2, 30, 31, 12, 38, 39):
        picture = opened.picture(row)
        assert picture is not None
        orange = picture[120, :, 0].astype(int) - picture[120, :, 2] > 60
        assert orange.mean() == pytest.approx((1 + row * 4) / 160, abs=0.03), row
    assert opened.posture(0)['left_elbow_joint'] == pytest.approx(HOME[3])


def test_plots_have_both_lines_and_a_place_for_the_row(catalogue: Catalogue) -> None:
    opened = OpenedEpisode(catalogue.dataset, 3)
    shown = episode_plots_html(opened.names, opened.measured, opened.commanded)
    assert shown.count('<polyline') == 32 and 'left:var(--at)' in shown


def test_a_row_of_the_longer_episode_before_is_the_last_of_this_one(catalogue: Catalogue) -> None:
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = int(probe.getsockname()[1])
    server = viser.ViserServer('127.0.0.1', port, verbose=False)
    player = EpisodePlayer(server, catalogue)
    try:
        player.open(3)
        wait_until(lambda: player.shown[0] == 3, 'an episode to play')
        player.open(0)
        wait_until(lambda: player.shown[0] == 0, 'a shorter one to play')
        player.seek(54)
        wait_until(lambda: player.shown == (0, 39), 'its last row')
    finally:
        player.close()
        server.stop()
