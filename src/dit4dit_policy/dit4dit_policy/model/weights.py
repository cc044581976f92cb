"""Weights on disk: read one tensor at a time, checked, into a model that was only outlined.

A model built under `torch.device('meta')` has shapes and no memory. `assign` gives each of its
weights the stored value, so that loading needs the model's own size and one tensor more, whatever
the precision in the file. Nothing is ever unpickled but plain tensors.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

#: Bytes of a `.pt` file that are mapped into memory before it is opened anew.
_MAPPED_AT_MOST = 2**29

_DTYPES = {'F32': torch.float32, 'BF16': torch.bfloat16, 'F16': torch.float16, 'F64': torch.float64}


@dataclass(frozen=True)
class Stored:
    """A tensor in a file. `read(dtype)` copies it out of it."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[torch.dtype | None], Tensor]


def safetensors_file(path: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file by name; ValueError where it is cut short."""

    def read(name: str, dtype: torch.dtype | None) -> Tensor:
        # Opened for every tensor: what the last one had mapped of the file is let go.
        with safe_open(path, 'pt') as file:
            tensor = file.get_tensor(name)
            return tensor.to(dtype or tensor.dtype, copy=True)

    try:
        with safe_open(path, 'pt') as file:
            outlines = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            kinds = {
                name: (tuple(outline.get_shape()), _DTYPES[outline.get_dtype()])
                for name, outline in outlines.items()
            }
    except KeyError as error:
        raise ValueError(f'{path}: expected floating-point weights, got {error}') from None
    except SafetensorError as error:
        raise ValueError(f'{path}: unreadable, probably cut short: {error}') from None
    return {
        name: Stored(path, name, shape, kind, lambda dtype, name=name: read(name, dtype))  # type: ignore[misc]
        for name, (shape, kind) in kinds.items()
    }


def safetensors_folder(folder: Path, stem: str) -> dict[str, Stored]:
    """The tensors of `<stem>.safetensors` or of the shards that its index lists.

    FileNotFoundError or ValueError where a file or a tensor is missing.
    """
    whole, index = folder / f'{stem}.safetensors', folder / f'{stem}.safetensors.index.json'
    if whole.is_file():
        return safetensors_file(whole)
    if not index.is_file():
        raise FileNotFoundError(f'no {whole.name} nor {index.name} in {folder}')
    listed: dict[str, str] = json.loads(index.read_text())['weight_map']
    stored: dict[str, Stored] = {}
    for shard in sorted(set(listed.values())):
        if not (folder / shard).is_file():
            raise FileNotFoundError(f'no {shard} in {folder}, which {index.name} lists')
        stored |= safetensors_file(folder / shard)
    if missing := sorted(listed.keys() - stored.keys()):
        raise ValueError(f'{index}: lists {missing[0]}, which {listed[missing[0]]} does not hold')
    return stored


def torch_file(path: Path) -> dict[str, Stored]:
    """The tensors of a state dict that `torch.save` wrote.

    ValueError where the file is cut short or holds anything but tensors by name.
    """
    opened, mapped = _open(path), 0

    def read(name: str, dtype: torch.dtype | None) -> Tensor:
        nonlocal opened, mapped
        mapped += opened[name].nbytes
        if mapped > _MAPPED_AT_MOST:
            opened, mapped = _open(path), opened[name].nbytes
        return opened[name].to(dtype or opened[name].dtype, copy=True)

    return {
        name: Stored(
            path,
            name,
            tuple(tensor.shape),
            tensor.dtype,
            lambda dtype, name=name: read(name, dtype),  # type: ignore[misc]
        )
        for name, tensor in opened.items()
    }


def assign(model: nn.Module, stored: Mapping[str, Stored], dtype: torch.dtype | None) -> None:
    """Gives every weight of `model` its stored value, as `dtype` (None: as it is stored).

    ValueError where one is missing, unknown, of another shape, or not finite.
    """
    expected = model.state_dict()
    check_names(stored, expected)
    values = {}
    for name, outline in expected.items():
        tensor = stored[name]
        if tensor.shape != outline.shape:
            raise ValueError(
                f'{tensor.path}: {tensor.name} should be {tuple(outline.shape)} by the '
                f'configuration, is {tensor.shape}'
            )
        values[name] = tensor.read(dtype)
        if not all(part.isfinite().all() for part in values[name].flatten().split(2**22)):
            raise ValueError(
                f'{tensor.path}: {tensor.name} is not finite; train or copy the checkpoint again'
            )
    model.load_state_dict(values, assign=True)


def check_names(stored: Mapping[str, Stored], expected: Mapping[str, object]) -> None:
    """ValueError where `stored` does not have exactly the names of `expected`."""
    where = ', '.join(sorted({str(tensor.path) for tensor in stored.values()})) or 'no file'
    for what, names in (
        ('missing', expected.keys() - stored.keys()),
        ('unknown', stored.keys() - expected.keys()),
    ):
        if names:
            raise ValueError(
                f'{where}: {len(names)} of {len(expected)} weights are {what}, the first is '
                f'{min(names)}; expected those of the configuration, no more and no less'
            )


def _open(path: Path) -> dict[str, Tensor]:
    try:
        opened = torch.load(path, map_location='cpu', mmap=True, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f'{path}: expected a state dict of tensors, written by torch.save; cut short, or '
            f'another kind of file: {reason}'
        ) from None
    if not isinstance(opened, dict) or not all(isinstance(v, Tensor) for v in opened.values()):
        raise ValueError(f'{path}: expected a state dict, tensors by name, got {type(opened)}')
    return opened
