"""Random weights of the right shapes, as a checkpoint folder; for tests and trials.

python src/dit4dit_benchmarks/test/untrained.py FOLDER [PRESET]
"""

import sys
from pathlib import Path

import torch

from dit4dit_policy.inference.processor import Processor, encoded_for, seen_by
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.presets import preset
from g1_description import load_embodiment


def write_untrained(folder, name='libero_nano', robot='libero_panda'):
    """Its actions may be as large as the controller takes them."""
    config, embodiment = preset(name), load_embodiment(robot)
    embodiment = encoded_for(config, seen_by(embodiment, embodiment.model_cameras))
    torch.manual_seed(0)
    checkpoint.save(DiT4DiT(config), folder, {'trained': False})
    Processor(
        embodiment=embodiment,
        state_lower=(-1.0,) * len(embodiment.state_names),
        state_upper=(1.0,) * len(embodiment.state_names),
        action_lower=(-1.0,) * len(embodiment.action_names),
        action_upper=(1.0,) * len(embodiment.action_names),
        image=config.backbone.image,
        state_dim=config.action.state_dim,
        action_dim=config.action.action_dim,
        tasks={},
    ).save(folder / 'processor.json')
    return folder


if __name__ == '__main__':
    write_untrained(Path(sys.argv[1]), *sys.argv[2:])
