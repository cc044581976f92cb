"""Attention by bf16 products, and by rows that share what they attend to."""

import pytest
import torch
import toy_models as toy
from torch.nn.functional import scaled_dot_product_attention

from dit4dit_policy.model.action_dit import ActionDiT
from dit4dit_policy.model.attention import attention


@pytest.mark.parametrize('masked', [False, True])
def test_by_bf16_products_it_is_nearly_the_same_and_so_are_its_gradients(masked):
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 2, 5, 16), (3, 2, 7, 16), (3, 2, 7, 16)
    full = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    low = [x.detach().bfloat16().requires_grad_() for x in full]
    mask = torch.tensor([1, 1, 1, 0, 1, 0, 0], dtype=torch.bool).expand(3, 1, 1, 7)
    q, k, v = full
    expected = scaled_dot_product_attention(q, k, v, mask if masked else None)
    with torch.autocast('cpu', torch.bfloat16):
        q, k, v = low
        found = attention(q, k, v, mask if masked else None)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.02)
    expected.square().sum().backward()
    found.square().sum().backward()
    for a, b in zip(full, low, strict=True):
        assert a.grad is not None and b.grad is not None
        torch.testing.assert_close(b.grad.float(), a.grad, rtol=0.05, atol=0.05)
    if masked:
        assert k.grad is not None and not k.grad[:, :, 3].any()


def test_several_rows_share_the_features_of_an_example():
    torch.manual_seed(0)
    config = toy.tiny().action
    dit = ActionDiT(config).eval()
    features = torch.randn(2, 5, config.feature_dim)
    counts = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0]], dtype=torch.bool)
    state, noisy = torch.randn(6, 1, config.state_dim), torch.randn(6, 4, config.action_dim)
    modulation = dit.modulation(torch.rand(6))
    shared = dit(noisy, modulation, dit.tokens(state), dit.context(features, counts))
    context = dit.context(features.repeat_interleave(3, 0), counts.repeat_interleave(3, 0))
    apart = dit(noisy, modulation, dit.tokens(state), context)
    torch.testing.assert_close(shared, apart)
