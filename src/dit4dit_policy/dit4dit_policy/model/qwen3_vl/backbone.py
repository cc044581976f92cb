"""Qwen3-VL as a backbone: the paper's baseline, a vision-language model without a video loss.

One image and one sentence in a chat turn, and the last hidden state of every token of it, with the
mask of those that are padding, is what the action DiT reads. All of it is trained, by the action
loss alone. Shapes: B batch, L = N tokens of the chat, D their width.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, Qwen3VLConfig, Qwen3VLModel

from dit4dit_policy.model.backbone import (
    Backbone,
    BackboneConfig,
    count_parameters,
    describe_image,
)
from dit4dit_policy.model.qwen3_vl.config import Qwen3VLBackboneConfig, VisionConfig
from dit4dit_policy.model.weights import Stored, safetensors_folder

#: Tokens of Qwen3-VL's vocabulary that the chat is made with.
_IMAGE, _PADDING = '<|image_pad|>', '<|endoftext|>'
_BEFORE, _BETWEEN = '<|im_start|>user\n<|vision_start|>', '<|vision_end|>'
_AFTER = '<|im_end|>\n<|im_start|>assistant\n'


class Qwen3VLBackbone(Backbone):
    """Last hidden states (B, N, D) of a chat of the current frame and the instruction.

    The weights have the published names; `lm_head`, which makes words, is not part of it. The
    tokenizer comes from `frozen_folder`.
    """

    Config: ClassVar[type[BackboneConfig]] = Qwen3VLBackboneConfig
    stages = ('pixels', 'Qwen3-VL')
    config: Qwen3VLBackboneConfig

    def __init__(self, config: Qwen3VLBackboneConfig) -> None:
        super().__init__()
        self.config = config
        architecture = _architecture(config, self._image_token)
        self.model: Any = Qwen3VLModel(architecture)
        # Tables are no weights: they have values even where weights are only outlined (`meta`).
        with torch.device('cpu'):
            rotary = self.model.language_model.rotary_emb
            self.model.language_model.rotary_emb = type(rotary)(architecture.text_config)
            rotary = self.model.visual.rotary_pos_emb
            self.model.visual.rotary_pos_emb = type(rotary)(architecture.vision_config)

    @torch.no_grad()
    def encode(self, frames_B3THW: Tensor) -> Tensor:
        """(B, 3, T, H, W) in [-1, 1], as the image encoder takes pixels."""
        return frames_B3THW * 2 - 1

    def embed(self, sentences: list[str]) -> Tensor:
        """Token numbers (B, L) of the chats, padded at the end.

        FileNotFoundError where the tokenizer has to be loaded and is not there; ValueError where a
        sentence is too long.
        """
        rows = torch.full((len(sentences), self.config.tokens), self._padding_token)
        for row, sentence in zip(rows, sentences, strict=True):
            before, between, after = self._numbers(_BEFORE), self._numbers(_BETWEEN), _AFTER
            text = self._numbers(sentence + after)
            numbers = before + [self._image_token] * self.config.image_tokens + between + text
            if len(numbers) > len(row):
                raise ValueError(
                    f'{sentence!r}: its chat has {len(numbers) - self.config.image_tokens} tokens '
                    f'besides the image, expected at most {self.config.text_tokens} (text_tokens)'
                )
            row[: len(numbers)] = torch.tensor(numbers)
        return rows.to(self.device)

    def mask(self, prompt_BL: Tensor) -> Tensor:
        """(B, L) True where a token is not padding."""
        return prompt_BL != self._padding_token

    def features(
        self, observed_BC1hw: Tensor, noise: Tensor, prompt_BLE: Tensor, tau_B: Tensor
    ) -> Tensor:
        """Last hidden states (B, L, D); noise and flow time have no part in them."""
        prepared = self.prepare(prompt_BLE, noise, tau_B, self.shortcuts)
        return self.features_of(observed_BC1hw, prepared)

    def prepare(
        self, prompt_BLE: Tensor, noise: Tensor, tau_B: Tensor, shortcuts: Iterable[str]
    ) -> Chat:
        """The chat without its image: token numbers, mask, and where each token stands."""
        side = self.config.vision.patch_size
        height, width = (pixels // side for pixels in self.config.frame)
        grid_B3 = torch.tensor([[1, height, width]]).expand(len(prompt_BLE), -1)
        counts = self.mask(prompt_BLE)
        kinds = (prompt_BLE == self._image_token).int()
        places, _ = self.model.get_rope_index(
            prompt_BLE, kinds, grid_B3.to(prompt_BLE.device), attention_mask=counts
        )
        return Chat(prompt_BLE, counts, places, grid_B3.to(prompt_BLE.device))

    def features_of(self, observed_BC1hw: Tensor, prepared: Chat) -> Tensor:
        """`features` by a chat that was prepared before."""
        states: Tensor = self.model(
            input_ids=prepared.numbers_BL,
            attention_mask=prepared.counts_BL,
            position_ids=prepared.places_3BL,
            pixel_values=_patches(observed_BC1hw[:, :, 0], self.config.vision),
            image_grid_thw=prepared.grid_B3,
            use_cache=False,
        ).last_hidden_state
        return states

    @property
    def prompt_label(self) -> dict[str, Any] | None:
        """Token numbers of the published tokenizer are kept, so that inference needs no folder."""
        if self.config.tokenizer == 'bytes':
            return None
        config = self.config
        return {'kind': config.kind, 'frame': config.frame, 'tokens': config.text_tokens}

    @property
    def recomputable(self) -> Iterable[nn.Module]:
        """Blocks of the image encoder and of the language model."""
        return (*self.model.visual.blocks, *self.model.language_model.layers)

    def pretrained_weights(self, folder: Path) -> dict[str, Stored]:
        """Those of a folder as of `hf download Qwen/Qwen3-VL-2B-Instruct`."""
        _compare(folder, self.config)
        stored = safetensors_folder(folder, 'model')
        return {name: tensor for name, tensor in stored.items() if not name.startswith('lm_head.')}

    def describe(self, frozen: Path | None) -> dict[str, str]:
        """Lines of `dit4dit info`; `frozen` is the folder that a checkpoint refers to."""
        vision, language = self.config.vision, self.config.language
        return {
            'image encoder': f'{count_parameters(self.model.visual)}, {vision.depth} blocks of '
            f'{vision.hidden_size}',
            'language model': f'{count_parameters(self.model.language_model)}, '
            f'{language.num_hidden_layers} blocks of {language.hidden_size}',
            'features': f'{self.config.tokens} tokens of {self.config.width}, last hidden states',
            'image': describe_image(self.config),
        }

    # --- tokens -----------------------------------------------------------------------------------

    def _numbers(self, text: str) -> list[int]:
        if self.config.tokenizer == 'bytes':
            return _byte_numbers(text)
        numbers: list[int] = self._published_tokenizer(text, add_special_tokens=False)['input_ids']
        return numbers

    @property
    def _image_token(self) -> int:
        return _BYTES[_IMAGE] if self.config.tokenizer == 'bytes' else 151655

    @property
    def _padding_token(self) -> int:
        return _BYTES[_PADDING] if self.config.tokenizer == 'bytes' else 151643

    @cached_property
    def _published_tokenizer(self) -> Any:
        if self.frozen_folder is None or not (self.frozen_folder / 'tokenizer.json').is_file():
            raise FileNotFoundError(
                f'no tokenizer.json in {self.frozen_folder}; expected the folder of the published '
                'Qwen3-VL, named by `frozen` in config.json'
            )
        tokenizer: Any = AutoTokenizer.from_pretrained(self.frozen_folder)
        for token, number in ((_IMAGE, self._image_token), (_PADDING, self._padding_token)):
            if (got := tokenizer.convert_tokens_to_ids(token)) != number:
                raise ValueError(
                    f'{self.frozen_folder}: {token} is {got}, expected {number} as in Qwen3-VL'
                )
        return tokenizer


@dataclass(frozen=True)
class Chat:
    """A chat without its image: token numbers (B, L), which count, where each stands (3, B, L) in
    time, height and width, and the image's grid of patches (B, 3)."""

    numbers_BL: Tensor
    counts_BL: Tensor
    places_3BL: Tensor
    grid_B3: Tensor


#: Numbers of the special tokens after the 256 bytes.
_BYTES = {
    token: 256 + index
    for index, token in enumerate(
        (_PADDING, _IMAGE, '<|im_start|>', '<|im_end|>', '<|vision_start|>', '<|vision_end|>')
    )
}


def _byte_numbers(text: str) -> list[int]:
    """Special tokens by their number, everything else by its bytes."""
    numbers: list[int] = []
    while text:
        token = next((token for token in _BYTES if text.startswith(token)), text[0])
        numbers += [_BYTES[token]] if token in _BYTES else list(token.encode())
        text = text[len(token) :]
    return numbers


def _patches(image_B3HW: Tensor, config: VisionConfig) -> Tensor:
    """Patches (B * patches, 3 * t * p * p) as the image encoder takes them.

    Four patches that become one token follow each other; the image stands for `t` equal frames.
    """
    batch, _, height, width = image_B3HW.shape
    side, merge = config.patch_size, config.spatial_merge_size
    grid = (height // config.pixels, merge, side, width // config.pixels, merge, side)
    x = image_B3HW.reshape(batch, 3, *grid).permute(0, 2, 5, 3, 6, 1, 4, 7)
    x = x.unsqueeze(6).expand(*(-1,) * 6, config.temporal_patch_size, -1, -1)
    return x.reshape(batch * grid[0] * merge * grid[3] * merge, -1)


def _architecture(config: Qwen3VLBackboneConfig, image_token: int) -> Any:
    language = asdict(config.language)
    rope = {
        'rope_type': 'default',
        'rope_theta': language.pop('rope_theta'),
        'mrope_section': list(language.pop('mrope_section')),
        'mrope_interleaved': True,
    }
    vision = asdict(config.vision)
    vision['deepstack_visual_indexes'] = list(config.vision.deepstack_visual_indexes)
    return Qwen3VLConfig(
        vision_config=vision,
        text_config=language | {'rope_parameters': rope},
        image_token_id=image_token,
        tie_word_embeddings=True,
    )


def _compare(folder: Path, config: Qwen3VLBackboneConfig) -> None:
    """ValueError where `folder/config.json` is of another size than `config`."""
    path = folder / 'config.json'
    if not path.is_file():
        raise FileNotFoundError(f'no {path.name} in {folder}; expected a folder of Qwen3-VL')
    values = json.loads(path.read_text())
    for part, expected in (('vision_config', config.vision), ('text_config', config.language)):
        got = values.get(part, {})
        for name, want in asdict(expected).items():
            have = got.get(name, want)
            if (tuple(have) if isinstance(have, list) else have) != want:
                raise ValueError(
                    f'{path}: {part}.{name} is {have}, expected {want}; choose the preset that '
                    'these weights belong to'
                )
