"""Linear layers by oneDNN instead of PyTorch's default library, where that is faster.

On CPUs of AMD, oneDNN multiplies fp32 matrices about twice as fast as MKL; on Intel's there is
little to gain. So a training measures both on the machine it is on, and keeps to the choice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

#: Rows, inputs and outputs of the layers that are measured: a batch of `nano`.
_SHAPES = ((1600, 128, 256), (1600, 256, 128), (3072, 128, 128))
#: With fewer rows there is nothing to gain.
_FEW = 64
_REPEATS = 10
_WORTH = 1.05  # times as fast, or the default stays
_CHOICE = 'linear_layers.txt'


class _OneDnnLinear(torch.autograd.Function):
    """y = x W^T + b of fp32 tensors on a CPU."""

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_NI, weight_OI)
        ctx.has_bias = bias_O is not None
        return _product(x_NI, weight_OI, bias_O)

    @staticmethod
    def backward(ctx: Any, grad_NO: Tensor) -> Any:
        x_NI, weight_OI = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _product(grad_NO, weight_OI.t()) if needs_x else None,
            _product(grad_NO.t(), x_NI.t()) if needs_weight else None,
            grad_NO.sum(dim=0) if needs_bias and ctx.has_bias else None,
        )


def _product(a_NI: Tensor, b_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """(N, O): a b^T + bias."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a_NI, b_OI, bias_O, 'none', [], '')
    return product


class _OneDnnLayer(nn.Linear):
    """A linear layer of (..., I), by oneDNN."""

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = x.reshape(-1, x.shape[-1])
        if len(rows) < _FEW:
            return super().forward(x)
        y: Tensor = _OneDnnLinear.apply(rows, self.weight, self.bias)
        return y.view(*x.shape[:-1], -1)


def use_onednn(model: nn.Module) -> int:
    """Lets every linear layer of `model`, fp32 on a CPU, multiply by oneDNN. Returns how many."""
    layers = [module for module in model.modules() if type(module) is nn.Linear]
    for layer in layers:
        layer.__class__ = _OneDnnLayer
    return len(layers)


def choose_linear(folder: Path) -> str:
    """'onednn' or 'torch', whichever is faster here; once chosen, `folder` remembers it.

    A resumed training so goes on with the same arithmetic, on another machine too.
    """
    path = folder / _CHOICE
    if path.is_file():
        return path.read_text().strip()
    choice = 'onednn' if speedup() > _WORTH else 'torch'
    path.write_text(f'{choice}\n')
    return choice


def speedup() -> float:
    """How many times as fast oneDNN is as the default, forward and backward; 0 without it."""
    if not torch.backends.mkldnn.is_available():
        return 0.0
    generator = torch.Generator().manual_seed(0)
    seconds = {'torch': 0.0, 'onednn': 0.0}
    for rows, inputs, outputs in _SHAPES:
        x = torch.randn(rows, inputs, generator=generator).requires_grad_()
        kinds: dict[str, Callable[[], Tensor]] = {
            'torch': partial(nn.Linear(inputs, outputs), x),
            'onednn': partial(_OneDnnLayer(inputs, outputs), x),
        }
        best = dict.fromkeys(kinds, float('inf'))
        for _ in range(_REPEATS):  # in turn: what else the machine does is the same for both
            for kind, forward in kinds.items():
                began = time.process_time()
                forward().sum().backward()  # type: ignore[no-untyped-call]
                best[kind] = min(best[kind], time.process_time() - began)
        for kind, value in best.items():
            seconds[kind] += value
    return seconds['torch'] / seconds['onednn']
