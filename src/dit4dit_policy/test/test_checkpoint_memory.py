"""The 2.2 B model is loaded in a process of its own; its weights are zeros, which take no disk."""

import json
import subprocess
import sys

import pytest
import torch

from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.presets import preset

LOAD = """
import resource, sys, time
from pathlib import Path
import torch
from dit4dit_policy.model import checkpoint
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, began = peak(), time.monotonic()
model, _ = checkpoint.load(Path(sys.argv[1]), getattr(torch, sys.argv[2]))
size = sum(p.nbytes for p in model.parameters())
print(size, peak() - before, round(time.monotonic() - began))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
def test_the_full_model_loads_in_little_more_than_its_own_size(tmp_path, dtype):
    with torch.device('meta'):
        model = DiT4DiT(preset('released'))
    header, offset = {}, 0
    for name, tensor in model.state_dict().items():
        end = offset + 2 * tensor.numel()
        header[name] = {
            'dtype': 'BF16',
            'shape': list(tensor.shape),
            'data_offsets': [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    with (tmp_path / 'model.safetensors').open('wb') as file:
        file.write(len(text).to_bytes(8, 'little') + text)
        file.truncate(8 + len(text) + offset)
    config = {'format': checkpoint.FORMAT, 'model': model.config.to_dict(), 'training': {}}
    (tmp_path / 'config.json').write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, '-c', LOAD, str(tmp_path), dtype], capture_output=True, check=True
    )
    size, more, seconds = map(int, done.stdout.split())
    print(f'{dtype}: {size / 1e9:.2f} GB, {more / size:.3f} times that at most, {seconds} s')
    assert more < 1.2 * size
