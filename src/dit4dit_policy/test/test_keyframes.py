"""The next frame in which a gripper begins to open or close, and a model that is taught it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_models as toy
from numpy.typing import NDArray

from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model import presets
from dit4dit_policy.training.config import TrainConfig
from dit4dit_policy.training.demonstrations import Demonstrations
from dit4dit_policy.training.keyframes import keyframes
from dit4dit_policy.training.train import train

LENGTH = 24  # of a toy demonstration


def _demonstrations(tmp_path: Path, *grippers: list[float]) -> Demonstrations:
    """An episode for each of `grippers`, the targets of joint 15."""
    data = Demonstrations.read(
        {str(toy.record(tmp_path / 'd', len(grippers))): 1.0}, toy.embodiment()
    )
    action = data.action.copy()
    action[:, 15] = np.concatenate(grippers)
    return replace(data, action=action)


def test_the_next_beginning_of_a_motion_then_the_end_of_the_episode(tmp_path: Path) -> None:
    ramp = [0.0] * 5 + [0.01, 0.02, 0.03, 0.04] + [0.04] * 6 + [0.0] * 9
    found = keyframes(_demonstrations(tmp_path, ramp, [0.04] * LENGTH))
    closes, opens, end = 4, 14, LENGTH - 1
    expected = [closes] * (closes + 4) + [opens] * 10 + [end] * (LENGTH - opens - 4)
    assert found.tolist() == expected + [2 * LENGTH - 1] * LENGTH


def test_noise_and_the_step_between_two_episodes_are_no_motion(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-4e-4, 4e-4, LENGTH)
    found = keyframes(_demonstrations(tmp_path, [*noise], [0.04 + x for x in noise]))
    assert found.tolist() == [LENGTH - 1] * LENGTH + [2 * LENGTH - 1] * LENGTH


def test_without_a_gripper_the_end_of_the_episode(tmp_path: Path) -> None:
    data = _demonstrations(tmp_path, [0.0] * 12 + [0.04] * 12)
    groups = tuple(
        replace(g, name=g.name.replace('gripper', 'hand')) for g in data.embodiment.groups
    )
    found = keyframes(replace(data, embodiment=replace(data.embodiment, groups=groups)))
    assert found.tolist() == [LENGTH - 1] * LENGTH


def _one_hand(names: tuple[str, ...], states: NDArray[np.float64]) -> NDArray[np.float64]:
    return states[:, None, :3] / 10


def test_a_robot_that_does_not_say_where_its_hands_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='does not say where its hands are'):
        toy.embodiment().hand_positions(np.zeros((2, 16)))


def test_a_checkpoint_learns_keyframes_where_a_training_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setitem(presets.PRESETS, 'tiny', toy.tiny())

    def trained(name: str, **changes: object) -> DiT4DiTPolicy:
        settings = TrainConfig(
            preset='tiny', embodiment=str(yaml),
            datasets={str(data): 1.0}, output=str(tmp_path / name), val_fraction=0.25,
            autoencoder_steps=3, autoencoder_batch_size=2, variants=1, steps=2, batch_size=4,
            video_batch_size=2, warmup_steps=2, evaluate_every=2, threads=1, bf16=False,
        )  # fmt: skip
        return DiT4DiTPolicy.load(train(replace(settings, **changes)))  # type: ignore[arg-type]

    data = toy.record(tmp_path / 'touch', episodes=4)
    yaml = toy.embodiment_file(tmp_path / 'toy.yaml')
    yaml.write_text(yaml.read_text() + f'hands: {__name__}:_one_hand\n')
    first = trained('first')
    second = trained(
        'second',
        init_from=str(tmp_path / 'first' / 'checkpoint'),
        model={'action.keyframe_weight': 0.5, 'action.keyframe_hands': 1},
    )
    assert second.model.config.action.keyframe_weight == 0.5
    assert second.model.config.action.keyframe_hands == 1
    losses = json.loads((tmp_path / 'second' / 'metrics.jsonl').read_text())
    assert 0 < losses['keyframe'] < 1
    start = str(tmp_path / 'second' / 'checkpoint')
    assert trained('third', init_from=start).model.config == second.model.config
    off = {'action.keyframe_weight': 0.0, 'action.keyframe_hands': 0}
    without = trained('fourth', init_from=start, model=off)
    assert without.model.config == first.model.config
    handless = toy.embodiment_file(tmp_path / 'handless.yaml')
    with pytest.raises(ValueError, match='keyframe_hands: 0'):
        trained('fifth', init_from=start, embodiment=str(handless))
