"""The picture of every simulated task, as an expert or a policy does it."""

import numpy as np
from PIL import Image

from g1_sim import contact_sheet


def test_a_row_each_of_scenes_that_succeed(tmp_path, monkeypatch):
    monkeypatch.setattr(contact_sheet, 'simulated_tasks', lambda: ('pick_and_place',))
    out = tmp_path / 'tasks.png'
    assert contact_sheet.main(['--out', str(out)]) == 0
    shown = np.asarray(Image.open(out).convert('RGB'))
    assert shown.shape == (22 + 2 * 180, 6 * 240, 3)
    first, last = shown[22:202, :240].astype(int), shown[22:202, -240:].astype(int)
    assert np.abs(first - last).mean() > 1  # something was moved


def test_a_policy_s_attempts_are_looked_at_until_one_succeeds(tmp_path, monkeypatch):
    tried = []

    def attempt(simulation):
        tried.append(simulation.scene.things)
        return [simulation.data.qpos.copy()] if len(tried) == 3 else []

    monkeypatch.setattr(contact_sheet, 'simulated_tasks', lambda: ('pick_and_place',))
    monkeypatch.setattr(contact_sheet, '_by_policy', {'mine': attempt}.__getitem__)
    assert contact_sheet.main(['--policy', 'mine', '--out', str(tmp_path / 'policy.png')]) == 0
    assert len(tried) == 3
