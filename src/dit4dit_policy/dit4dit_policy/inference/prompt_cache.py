"""Embeddings of instructions: computed once, then read from disk, without loading the text encoder.

They lie in the user's cache and not beside a checkpoint, because they belong to the sentence and
the frozen text encoder: every checkpoint on one encoder shares them, and a checkpoint's folder may
be read-only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dit4dit_policy.model.backbone import Backbone

_log = logging.getLogger(__name__)


def default_folder() -> Path:
    """`~/.cache/dit4dit/prompts`, or where XDG_CACHE_HOME says."""
    return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'dit4dit' / 'prompts'


class PromptCache:
    """Embeddings by text: from memory, else from a file, else from the text encoder.

    A file is for an encoder that has to be loaded. One that is part of the model, as in `nano`, is
    quicker than the disk and may differ from checkpoint to checkpoint.
    """

    def __init__(self, backbone: Backbone, folder: Path) -> None:
        """`folder` is made with the first file; what is in it may be deleted any time."""
        self._backbone, self._folder = backbone, folder
        self._embeddings: dict[str, Tensor] = {}

    def __getitem__(self, text: str) -> Tensor:
        """(1, L, ...) on the model's device; FileNotFoundError where its encoder is missing."""
        if text not in self._embeddings:
            label = self._backbone.prompt_label
            self[text] = self._backbone.embed([text]) if label is None else self._read(text, label)
        return self._embeddings[text]

    def embed(self, texts: Iterable[str]) -> None:
        """Has the embeddings of `texts` at hand; lets go of an encoder that it had to load."""
        for text in texts:
            self[text]
        self._backbone.release_text_encoder()

    def __setitem__(self, text: str, embedding: Tensor) -> None:
        self._embeddings[text] = embedding.to(self._backbone.device)

    def _read(self, text: str, encoder: dict[str, Any]) -> Tensor:
        labels = {'text': text, 'encoder': json.dumps(encoder, sort_keys=True)}
        name = hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:32]
        path = self._folder / f'{name}.safetensors'
        try:
            return _load(path, labels)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, SafetensorError) as error:
            _log.warning('%s is computed again: %s', path, error)
        embedding = self._backbone.embed([text]).cpu()
        try:
            _save(path, labels, embedding)
        except OSError as error:
            _log.warning('prompt embedding not kept, the next start computes it again: %s', error)
        return embedding


def _load(path: Path, labels: dict[str, str]) -> Tensor:
    """FileNotFoundError where it is missing, ValueError or SafetensorError where not whole."""
    with safe_open(path, 'pt') as file:
        found = file.metadata() or {}
        embedding = file.get_tensor('embedding').clone()  # not the file's own pages
    if found != labels | {'sha256': _digest(embedding)}:
        raise ValueError('its label is of other contents')
    return embedding


def _save(path: Path, labels: dict[str, str], embedding: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f'.{os.getpid()}')
    labels = labels | {'sha256': _digest(embedding)}
    save_file({'embedding': embedding.contiguous()}, unfinished, labels)
    unfinished.replace(path)


def _digest(embedding: Tensor) -> str:
    values = embedding.contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(values.tobytes()).hexdigest()
