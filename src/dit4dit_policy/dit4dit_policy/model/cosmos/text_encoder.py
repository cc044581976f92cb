"""Frozen text encoders: an instruction becomes every layer's hidden state, side by side.

`QwenTextEncoder` is the paper's, the Qwen2.5-VL of Cosmos-Predict2.5. `ByteTextEncoder` stands in
for it in small models. Shapes: B instructions, L tokens, E = layers * hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2Model,
)

from dit4dit_policy.model.cosmos.config import TextConfig

#: What Cosmos-Predict2.5 was trained to read in front of every instruction.
SYSTEM_PROMPT = 'You are a helpful assistant who will provide prompts to an image generator.'


class QwenTextEncoder:
    """Qwen2.5-VL of a folder in the layout of Cosmos-Predict2.5 (`text_encoder/`, `tokenizer/`).

    Prompt and normalisation are those of `diffusers.Cosmos2_5_PredictBasePipeline`: a chat of a
    system and a user turn, padded to `tokens`, no attention mask; the outputs of all layers, each
    with mean 0 and deviation 1 over its features. No `nn.Module`, because it is no part of the
    policy: it is neither trained nor saved with it.
    """

    def __init__(self, config: TextConfig, folder: Path, device: torch.device) -> None:
        """FileNotFoundError or ValueError where `folder` does not hold the encoder of `config`."""
        for part in ('text_encoder', 'tokenizer'):
            if not (folder / part).is_dir():
                raise FileNotFoundError(
                    f'no {part}/ in {folder}: expected a folder of Cosmos-Predict2.5-2B '
                    '(diffusers layout, revision diffusers/base/post-trained)'
                )
        values: Any = Qwen2_5_VLConfig.from_pretrained(folder / 'text_encoder')
        got = values.text_config.num_hidden_layers, values.text_config.hidden_size
        if got != (config.layers, config.hidden):
            raise ValueError(
                f'{folder}/text_encoder: expected {config.layers} layers of {config.hidden}, '
                f'got {got[0]} of {got[1]}'
            )
        self.config = config
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder / 'tokenizer')
        loaded: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder / 'text_encoder', dtype='auto', output_loading_info=True
        )
        model, found = loaded
        for what in ('missing_keys', 'unexpected_keys', 'mismatched_keys'):
            if names := sorted(map(str, found[what])):
                raise ValueError(
                    f'{folder}/text_encoder: {len(names)} {what.replace("_", " ")}, the first is '
                    f'{names[0]}; copy the folder again'
                )
        self.model: Any = model.model.language_model.to(device).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """(B, L, E) of instructions, in the encoder's own precision."""
        ids = torch.tensor([self._tokens(prompt) for prompt in prompts])
        states = self.model(ids.to(self.model.device), output_hidden_states=True).hidden_states[1:]
        return torch.cat([_normalised(state) for state in states], dim=-1)

    def _tokens(self, prompt: str) -> list[int]:
        turns = [
            {'role': role, 'content': [{'type': 'text', 'text': text}]}
            for role, text in (('system', SYSTEM_PROMPT), ('user', prompt))
        ]
        return self.tokenizer.apply_chat_template(
            turns,
            tokenize=True,
            return_dict=False,
            add_generation_prompt=False,
            add_vision_id=False,
            max_length=self.config.tokens,
            truncation=True,
            padding='max_length',
        )

    def __deepcopy__(self, _memo: dict[int, Any]) -> QwenTextEncoder:
        """Copies of a policy share it: nothing changes it."""
        return self


def _normalised(state_BLD: Tensor) -> Tensor:
    mean = state_BLD.mean(dim=-1, keepdim=True)
    return (state_BLD - mean) / (state_BLD.std(dim=-1, keepdim=True) + 1e-8)


class ByteTextEncoder(nn.Module):
    """A small frozen Qwen2 over UTF-8 bytes: untrained, it tells sentences apart.

    Like the paper's encoder it returns every layer's hidden state, normalised and concatenated: (B,
    L, layers * hidden).
    """

    padding = 256

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        architecture = Qwen2Config(
            vocab_size=257,
            hidden_size=config.hidden,
            intermediate_size=2 * config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.hidden // 32,
            num_key_value_heads=config.hidden // 32,
            max_position_embeddings=config.tokens,
            initializer_range=0.2,
        )
        generator_state = torch.get_rng_state()
        torch.manual_seed(0)
        with torch.device('cpu'):  # even where weights are only outlined: its tables are no weights
            self.model = Qwen2Model(architecture).eval()
        torch.set_rng_state(generator_state)

    def forward(self, prompts: list[str]) -> Tensor:
        """(B, L, E) of instructions; what is longer than L bytes is cut off."""
        ids = torch.full((len(prompts), self.config.tokens), self.padding)
        for row, prompt in zip(ids, prompts, strict=True):
            code = prompt.encode()[: self.config.tokens]
            row[: len(code)] = torch.tensor(list(code))
        states = self.model(ids.to(self.model.device), output_hidden_states=True).hidden_states[1:]
        return torch.cat([F.layer_norm(s, s.shape[-1:]) for s in states], dim=-1)
