"""Linear layers by oneDNN: the same numbers, forward and backward."""

import pytest
import torch
from torch import nn

from dit4dit_policy.training import linear

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason='torch is built without oneDNN'
)


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('shape', [(8, 40, 24), (3, 24), (300, 24)])
def test_outputs_and_gradients_are_those_of_the_default(shape, bias):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(24, 48, bias=bias), nn.GELU(), nn.Linear(48, 16, bias=bias))
    other = nn.Sequential(nn.Linear(24, 48, bias=bias), nn.GELU(), nn.Linear(48, 16, bias=bias))
    other.load_state_dict(plain.state_dict())
    assert linear.use_onednn(other) == 2
    x, target = torch.randn(*shape), torch.randn(*shape[:-1], 16)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [net(x) for net, x in zip((plain, other), inputs, strict=True)]
    torch.testing.assert_close(outputs[1], outputs[0])
    for output in outputs:
        (output - target).square().mean().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    for a, b in zip(plain.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad)


def test_a_frozen_layer_passes_gradients_on_and_gets_none():
    layer = nn.Linear(8, 4).requires_grad_(False)
    linear.use_onednn(layer)
    x = torch.randn(100, 8, requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(dim=0).expand(100, 8))
    assert layer.weight.grad is None


@pytest.mark.parametrize(('speedup', 'choice'), [(1.4, 'onednn'), (1.0, 'torch')])
def test_the_faster_one_is_chosen_once(tmp_path, monkeypatch, speedup, choice):
    monkeypatch.setattr(linear, 'speedup', lambda: speedup)
    assert linear.choose_linear(tmp_path) == choice
    monkeypatch.setattr(linear, 'speedup', lambda: 2.4 - speedup)
    assert linear.choose_linear(tmp_path) == choice
