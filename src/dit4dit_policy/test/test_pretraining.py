"""The paper's two stages: sets of GR00T as the embodiment gr1 reads them, then the G1."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_models as toy

from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model import presets
from dit4dit_policy.training.config import TrainConfig
from dit4dit_policy.training.demonstrations import Demonstrations
from dit4dit_policy.training.train import train
from g1_data import Dataset, DatasetWriter, Schema
from g1_data.schema import Extra, Vector, Video
from g1_description import load_embodiment

# As published: GR1ArmsAndWaist, LeRobot v2.0, rows of a whole body at 20 Hz, two sizes of video.
PARTS = {
    'left_arm': (0, 7),
    'left_hand': (7, 13),
    'left_leg': (13, 19),
    'neck': (19, 22),
    'right_arm': (22, 29),
    'right_hand': (29, 35),
    'right_leg': (35, 41),
    'waist': (41, 44),
}
_DESCRIPTION = 'annotation.human.action.task_description'


def gr00t_set(root: Path, episodes: int = 4, parts: dict[str, tuple[int, int]] = PARTS) -> Path:
    """Numbers of a row are 0.01 times their place, and 0.001 more each frame."""
    vector = Vector(tuple(f'motor_{k}' for k in range(44)), parts, 'float64')
    videos = {
        'egoview': Video('observation.images.egoview', (80, 128)),
        'ego_view': Video('observation.images.ego_view', (64, 64)),
    }
    extras = {_DESCRIPTION: Extra((_DESCRIPTION,), 'int64'), 'next.done': Extra(('done',), 'bool')}
    schema = Schema('GR1ArmsAndWaistFourierHands', 20, vector, vector, videos, extras)
    rng = np.random.default_rng(0)
    with DatasetWriter.create(root, schema) as writer:
        for number in range(episodes):
            with writer.episode(f'unlocked_waist: pick the can from place {number}') as episode:
                for k in range(24):
                    row = 0.01 * np.arange(44) + 0.001 * k
                    pictures = {
                        n: rng.integers(0, 255, (*v.shape, 3), np.uint8) for n, v in videos.items()
                    }
                    more = {_DESCRIPTION: np.array([number]), 'next.done': np.array([k == 23])}
                    episode.add(row, row + 0.001, pictures, more)
    path = root / 'meta/info.json'
    info = json.loads(path.read_text()) | {'codebase_version': 'v2.0', 'fps': 20.0}
    for feature in info['features'].values():
        if 'info' in feature:
            feature['video_info'] = feature.pop('info')
    path.write_text(json.dumps(info))
    (root / 'meta/episodes_stats.jsonl').unlink()
    return root


def test_the_five_parts_of_the_robot_are_taken_by_their_names(tmp_path: Path) -> None:
    root = gr00t_set(tmp_path / 'gr1_unified.PnPCanToDrawerClose')
    assert Dataset(root).schema.state.parts == PARTS
    robot = load_embodiment('gr1')
    data = Demonstrations.read({str(root): 1.0}, robot)
    places = [
        k for group in robot.groups for k in range(*PARTS[group.name])
    ]  # both arms, both hands, the waist, in the embodiment's order
    assert len(places) == 29
    np.testing.assert_allclose(data.state[0], 0.01 * np.array(places), atol=1e-6)
    np.testing.assert_allclose(data.action[1], 0.01 * np.array(places) + 0.002, atol=1e-6)


def test_a_part_of_another_size_is_refused(tmp_path: Path) -> None:
    parts = PARTS | {'waist': (41, 43)}
    root = gr00t_set(tmp_path / 'set', 1, parts)
    with pytest.raises(ValueError, match=r'modality\.json: state: waist: expected the 3 numbers'):
        Demonstrations.read({str(root): 1.0}, load_embodiment('gr1'))


def test_the_g1_goes_on_from_what_a_gr1_has_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    tiny = toy.tiny(state_encoding='sin_cos')
    wide = replace(tiny, action=replace(tiny.action, state_dim=64, action_dim=32))
    monkeypatch.setitem(presets.PRESETS, 'tiny', tiny)
    monkeypatch.setitem(presets.PRESETS, 'wide', wide)
    settings = TrainConfig(
        preset='wide', embodiment='gr1', datasets={str(gr00t_set(tmp_path / 'gr1')): 1.0},
        output=str(tmp_path / 'first'), val_fraction=0.25, autoencoder_steps=3,
        autoencoder_batch_size=2, variants=1, steps=2, batch_size=4, video_batch_size=2,
        warmup_steps=1, evaluate_every=2, threads=1, bf16=False,
    )  # fmt: skip
    first = train(settings)
    assert DiT4DiTPolicy.load(first).embodiment.name == 'gr1'
    robot = load_embodiment('g1_aloha')
    g1 = tmp_path / 'g1'
    camera = robot.model_cameras[0]
    with DatasetWriter.create(g1, Schema.of(robot, {camera: (64, 96)})) as writer:
        for _ in range(4):
            with writer.episode('Pick up the flower and put it into the vase.') as episode:
                for k in range(24):
                    state = np.full(16, 0.01 + 0.001 * k)
                    episode.add(state, state, {camera: np.full((64, 96, 3), 9 * k, np.uint8)})
    second = train(
        replace(
            settings, embodiment='g1_aloha', datasets={str(g1): 1.0}, init_from=str(first),
            output=str(tmp_path / 'second'),
        )
    )  # fmt: skip
    policy = DiT4DiTPolicy.load(second, robot)
    assert policy.training['before']['steps'] == 2
    assert policy.embodiment.action_names == robot.action_names
