"""What a Qwen3-VL backbone is made of: image encoder, language model and tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dit4dit_policy.model.backbone import BackboneConfig
from dit4dit_policy.model.checks import check_positive


@dataclass(frozen=True)
class VisionConfig:
    """The image encoder; the fields are those of `transformers.Qwen3VLVisionConfig`."""

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    out_hidden_size: int
    deepstack_visual_indexes: tuple[int, ...]
    patch_size: int = 16
    spatial_merge_size: int = 2
    temporal_patch_size: int = 2
    num_position_embeddings: int = 2304

    def __post_init__(self) -> None:
        check_positive(self, 'depth', 'hidden_size', 'num_heads', 'patch_size')
        if not all(0 <= index < self.depth for index in self.deepstack_visual_indexes):
            raise ValueError(
                f'deepstack_visual_indexes: expected layers from 0 to {self.depth - 1}, got '
                f'{self.deepstack_visual_indexes}'
            )

    @property
    def pixels(self) -> int:
        """Pixels along a side of what becomes one token."""
        return self.patch_size * self.spatial_merge_size


@dataclass(frozen=True)
class LanguageConfig:
    """The language model; the fields are those of `transformers.Qwen3VLTextConfig`.

    `mrope_section` are the frequencies of a head for time, height and width, `rope_theta` their
    base.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    mrope_section: tuple[int, int, int]
    rope_theta: float = 5e6

    def __post_init__(self) -> None:
        check_positive(self, 'vocab_size', 'hidden_size', 'num_hidden_layers', 'head_dim')
        if 2 * sum(self.mrope_section) != self.head_dim:
            raise ValueError(
                f'mrope_section: expected {self.head_dim // 2} frequencies, half of head_dim, got '
                f'{self.mrope_section}'
            )


@dataclass(frozen=True, kw_only=True)
class Qwen3VLBackboneConfig(BackboneConfig):
    """A Qwen3-VL of any size.

    `text_tokens` is the room for the chat besides the image: the sentence and 8 to 20 more.
    `tokenizer` is 'qwen3_vl', which is read from the folder of the published weights, or 'bytes',
    for small models: one token a byte of UTF-8.
    """

    kind: str = 'qwen3_vl'
    vision: VisionConfig
    language: LanguageConfig
    text_tokens: int = 64
    tokenizer: Literal['qwen3_vl', 'bytes'] = 'qwen3_vl'

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, 'text_tokens')
        self._check_frame(self.vision.pixels)
        if self.vision.out_hidden_size != self.language.hidden_size:
            raise ValueError(
                f'out_hidden_size: image tokens go among those of the text, expected '
                f'{self.language.hidden_size}, got {self.vision.out_hidden_size}'
            )

    @property
    def width(self) -> int:
        """D of the feature tokens: that of the language model."""
        return self.language.hidden_size

    @property
    def image_tokens(self) -> int:
        """Tokens of the frame, all views in one."""
        side = self.vision.pixels
        return self.frame[0] // side * (self.frame[1] // side)

    @property
    def tokens(self) -> int:
        """N: image, sentence, what stands around them, and padding."""
        return self.image_tokens + self.text_tokens
