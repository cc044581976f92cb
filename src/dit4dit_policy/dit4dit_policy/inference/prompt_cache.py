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
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dit4dit_policy.model.video_backbone import VideoBackbone

_log = logging.getLogger(__name__)


def default_folder() -> Path:
    """`~/.cache/dit4dit/prompts`, or where XDG_CACHE_HOME says."""
    return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'dit4dit' / 'prompts'


class PromptCache:
    """Embeddings by text: from memory, else from a file, else from the text encoder.

    A file is for an encoder that has to be loaded. One that is part of the model, as in `nano`, is
    quicker than the disk and may differ from checkpoint to checkpoint.
    """

    def __init__(self, video: VideoBackbone, folder: Path) -> None:
        """`folder` is made with the first file; what is in it may be deleted any time."""
        self._video, self._folder = video, folder
        self._on_disk = video.config.text.encoder != 'bytes'
        self._embeddings: dict[str, Tensor] = {}

    def __getitem__(self, text: str) -> Tensor:
        """(1, L, E) on the model's device. FileNotFoundError where a needed encoder is missing."""
        if text not in self._embeddings:
            self[text] = self._read(text) if self._on_disk else self._video.embed([text])
        return self._embeddings[text]

    def embed(self, texts: Iterable[str]) -> None:
        """Has the embeddings of `texts` at hand; lets go of an encoder that it had to load."""
        for text in texts:
            self[text]
        if self._on_disk:
            self._video.text_encoder = None

    def __setitem__(self, text: str, embedding: Tensor) -> None:
        net = self._video.transformer
        self._embeddings[text] = embedding.to(net.device, net.dtype)

    def _read(self, text: str) -> Tensor:
        path, labels = self._file(text)
        try:
            return _load(path, labels, self._shape)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, SafetensorError) as error:
            _log.warning('%s is computed again: %s', path, error)
        embedding = self._video.embed([text]).cpu()
        try:
            _save(path, labels, embedding)
        except OSError as error:
            _log.warning('prompt embedding not kept, the next start computes it again: %s', error)
        return embedding

    @property
    def _shape(self) -> tuple[int, int, int]:
        text = self._video.config.text
        return 1, text.tokens, text.width

    def _file(self, text: str) -> tuple[Path, dict[str, str]]:
        """Where the embedding of `text` is, and what the file has to say it is."""
        encoder = asdict(self._video.config.text) | {'dtype': str(self._video.transformer.dtype)}
        labels = {'text': text, 'encoder': json.dumps(encoder, sort_keys=True)}
        name = hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:32]
        return self._folder / f'{name}.safetensors', labels


def _load(path: Path, labels: dict[str, str], shape: tuple[int, ...]) -> Tensor:
    """FileNotFoundError where it is missing, ValueError or SafetensorError where not whole."""
    with safe_open(path, 'pt') as file:
        found = file.metadata() or {}
        embedding = file.get_tensor('embedding').clone()  # not the file's own pages
    if found != labels | {'sha256': _digest(embedding)}:
        raise ValueError('its label is of other contents')
    if embedding.shape != shape:
        raise ValueError(f'expected shape {shape}, got {tuple(embedding.shape)}')
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
