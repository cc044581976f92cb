"""What every backbone is: images, a sentence and a flow time in, feature tokens (B, N, D) out.

The action DiT reads the tokens and knows nothing else of it. A backbone is a subclass of `Backbone`
with a `Config` of its own; `kind` in the configuration names it, an entry of the group
`dit4dit.backbones` or `module:attribute`. The least it has is `encode`, `embed` and `features`;
everything else has a default that is right for one that generates no video.

Shapes: B batch, T frames, C channels of what `encode` gives, L tokens of the sentence, N feature
tokens, D their width, H height and W width of the frame, which has all views.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dit4dit_policy.model.checks import check_choices, check_positive
from dit4dit_policy.model.views import (
    FurtherViews,
    Layout,
    Place,
    frame_size,
    view_places,
)
from dit4dit_policy.model.weights import Stored
from g1_description.plugins import find_plugin

_CHANGED, _AROUND = 0.2, 5  # of a colour's range, and pixels around: no part of it is as it was


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """What every backbone's configuration says.

    `kind` names the backbone. `image` is (height, width) of one view in pixels; `views` cameras are
    seen in one frame, in the order of the processor's cameras, those after the first in `full` size
    or `half` of it: `model.views`.
    """

    kind: str
    image: tuple[int, int]
    views: int = 1
    further_views: FurtherViews = 'full'

    def __post_init__(self) -> None:
        check_choices(self)
        check_positive(self, 'views')
        if len(self.image) != 2 or min(self.image) < 1:
            raise ValueError(f'image: expected (height, width) in pixels, got {self.image}')
        if self.further_views == 'half' and any(size % 2 for size in self.image):
            raise ValueError(
                f'image: expected even sizes with half further_views, got {self.image}'
            )

    @property
    def frame(self) -> tuple[int, int]:
        """(height, width) in pixels of what the backbone sees: all views together."""
        return frame_size(*self.layout)

    @property
    def layout(self) -> Layout:
        """What decides where each view stands in the frame."""
        return self.image, self.views, self.further_views

    @property
    def places(self) -> list[Place]:
        """Rows and columns of each view in the frame."""
        return view_places(*self.layout)

    def _check_frame(self, side: int) -> None:
        """ValueError where the frame is not of whole squares of `side` pixels."""
        if any(pixels % side for pixels in self.frame):
            raise ValueError(
                f'image: expected a frame of multiples of {side} pixels, got {self.frame} of '
                f'{self.views} view(s) of {self.image}, further_views {self.further_views}'
            )

    @property
    def width(self) -> int:
        """D of the feature tokens."""
        raise NotImplementedError

    @property
    def tokens(self) -> int:
        """N: feature tokens of an observation."""
        raise NotImplementedError

    @property
    def clip_offsets(self) -> tuple[int, ...]:
        """Steps of the data after the current one whose frames training shows, 0 first."""
        return (0,)

    @property
    def frames_alone(self) -> bool:
        """Whether `encode` gives a frame the same wherever in a clip it stands, so that training
        encodes each once."""
        return True

    def with_views(self, views: int) -> BackboneConfig:
        """The same backbone for another number of cameras."""
        return replace(self, views=views)


class Backbone(nn.Module):
    """Images + sentence + flow time -> tokens (B, N, D); may also generate video.

    `frozen_folder` is where weights lie that a checkpoint refers to and does not hold, see
    `frozen_weights`.
    """

    Config: ClassVar[type[BackboneConfig]]
    #: What inference may leave out without changing a feature; `prepare` and `observe` take the
    #: names that are in force.
    shortcuts: ClassVar[tuple[str, ...]] = ()
    #: What a person calls the halves of `features`: `observe`, and the rest.
    stages: ClassVar[tuple[str, str]] = ('image encoder', 'backbone')
    #: Whether `loss` gives one, which trains with the action loss.
    has_loss: ClassVar[bool] = False
    #: Whether `imagine` and `decode` show a future.
    generates_video: ClassVar[bool] = False

    #: Beginnings of the names of weights that a checkpoint leaves to `frozen_folder`.
    frozen_parts: ClassVar[tuple[str, ...]] = ()

    config: Any
    frozen_folder: Path | None = None

    # --- what every backbone has ------------------------------------------------------------------

    def encode(self, frames_B3THW: Tensor) -> Tensor:
        """(B, C, T', h, w) of frames in [0, 1], without gradient: what training keeps of a clip."""
        raise NotImplementedError

    def embed(self, sentences: list[str]) -> Tensor:
        """(B, L, ...) of instructions, without gradient; a sentence always has the same.

        FileNotFoundError where an encoder has to be loaded, and is not there.
        """
        raise NotImplementedError

    def features(
        self, observed_BC1hw: Tensor, noise: Tensor, prompt_BLE: Tensor, tau_B: Tensor
    ) -> Tensor:
        """Feature tokens (B, N, D), with gradient.

        The encoding of the current frame, `draw_noise`'s noise, `embed`'s prompt, flow times.
        """
        raise NotImplementedError

    def mask(self, prompt_BLE: Tensor) -> Tensor | None:
        """(B, N) True where a feature token counts; None where all do."""
        return None

    # --- noise and flow times ---------------------------------------------------------------------

    def draw_noise(
        self,
        batch: int,
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """Noise that `features` begins from; by default none, (B, 0)."""
        return torch.zeros(batch, 0, device=device)

    def draw_times(
        self,
        batch: int,
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """(B,) flow times of the features in training; by default that of inference."""
        return torch.full((batch,), self.feature_time, device=device)

    @property
    def feature_time(self) -> float:
        """Flow time of the features at inference; 1 is noise."""
        return 1.0

    # --- inference, in two steps ------------------------------------------------------------------

    def observe(self, image_B3HW: Tensor, shortcuts: Iterable[str]) -> Tensor:
        """(B, C, 1, h, w): the current frame as `features` takes it."""
        return self.encode(image_B3HW[:, :, None])

    def prepare(
        self, prompt_BLE: Tensor, noise: Tensor, tau_B: Tensor, shortcuts: Iterable[str]
    ) -> Any:
        """All that `features` needs besides the image: the same for a whole task."""
        return noise, prompt_BLE, tau_B

    def features_of(self, observed_BC1hw: Tensor, prepared: Any) -> Tensor:
        """`features` by what `prepare` gave."""
        return self.features(observed_BC1hw, *prepared)

    # --- video ------------------------------------------------------------------------------------

    def loss(
        self, latents_BCThw: Tensor, prompt_BLE: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """The backbone's own loss on encoded clips, where `has_loss`."""
        raise ValueError(f'a {self.config.kind} backbone has no loss of its own')

    def imagine(
        self,
        observed_BC1hw: Tensor,
        prompt_BLE: Tensor,
        noise: Tensor,
        steps: int,
        on_step: Callable[[], object] = lambda: None,
    ) -> Tensor:
        """Encoded clips (B, C, T, h, w) that go on from the current frame, where
        `generates_video`: `steps` of denoising."""
        raise ValueError(f'a {self.config.kind} backbone generates no video')

    def imagine_steps(
        self, observed_BC1hw: Tensor, prompt_BLE: Tensor, noise: Tensor, steps: int
    ) -> Iterator[Tensor]:
        """What `imagine` has after each step; the last is what it gives."""
        yield self.imagine(observed_BC1hw, prompt_BLE, noise, steps)

    def decode(self, latents_BCThw: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W) in [0, 1] of an encoded clip, where `generates_video`."""
        raise ValueError(f'a {self.config.kind} backbone generates no video')

    def decode_after(self, now_B3HW: Tensor, latents_BCThw: Tensor) -> Tensor:
        """Frames of a clip that begins with a picture at hand, where `generates_video`.

        What the autoencoder lost of that picture they have again, less the more they change.
        """
        clip = self.decode(latents_BCThw)
        first = clip[:, :, :1]
        change = (clip - first).abs().amax(1)  # (B, T, H, W)
        change = F.max_pool2d(change, _AROUND, 1, _AROUND // 2)
        change = F.avg_pool2d(change, _AROUND, 1, _AROUND // 2, count_include_pad=False)
        unchanged = (1 - change / _CHANGED).clamp(min=0)[:, None]
        return (clip + unchanged * (now_B3HW[:, :, None] - first)).clamp(0, 1)

    # --- weights ----------------------------------------------------------------------------------

    @property
    def autoencoder(self) -> nn.Module | None:
        """Frozen weights of `encode`; learnt from the demonstrations when a training starts from
        nothing. None where it has no weights."""
        return None

    @property
    def encoder_label(self) -> dict[str, Any]:
        """What `encode` gives depends on this, the autoencoder's weights and nothing else."""
        return {'kind': self.config.kind, 'image': self.config.image, 'frame': self.config.frame}

    @property
    def prompt_label(self) -> dict[str, Any] | None:
        """Says which embedding `embed` gives, where it is costly: it is then kept on disk."""
        return None

    def release_text_encoder(self) -> None:
        """Lets go of an encoder that `embed` had to load."""

    @property
    def recomputable(self) -> Iterable[nn.Module]:
        """Blocks whose activations training may compute again instead of keeping them."""
        return ()

    def pretrained_weights(self, folder: Path) -> dict[str, Stored]:
        """All weights, as they were published in `folder`, by their names in this module.

        FileNotFoundError or ValueError says what is missing, or differs from the configuration.
        """
        raise ValueError(f'{folder}: there are no published weights of a {self.config.kind}')

    def frozen_weights(self, folder: Path) -> dict[str, Stored]:
        """Those of `pretrained_weights` that belong to the `frozen_parts`."""
        return {}

    def describe(self, frozen: Path | None) -> dict[str, str]:
        """Lines of `dit4dit info`; `frozen` is the folder that a checkpoint refers to."""
        config = self.config
        return {
            'backbone': f'{config.kind}, {count_parameters(self)}',
            'features': f'{config.tokens} tokens of {config.width}',
            'image': describe_image(config),
        }

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its weights."""
        return next(self.parameters()).dtype


def describe_image(config: BackboneConfig) -> str:
    """Width and height of a view in pixels, and how many there are."""
    size = f'{config.image[1]} x {config.image[0]}'
    if config.views == 1:
        return size
    if config.further_views == 'half':
        return f'{size}, and {config.views - 1} further view(s) of half that'
    return f'{config.views} views of {size}, side by side'


def count_parameters(part: nn.Module) -> str:
    """Of all its weights, in millions or billions."""
    count = sum(p.numel() for p in part.parameters())
    unit, digits = ('M', count / 1e6) if count < 1e9 else ('B', count / 1e9)
    return f'{digits:.{max(0, 2 - int(math.log10(max(digits, 1))))}f} {unit} parameters'


def backbone_class(kind: str) -> type[Backbone]:
    """The backbone that `kind` names; ValueError lists those there are."""
    found: Any = find_plugin('dit4dit.backbones', kind)
    if not (isinstance(found, type) and issubclass(found, Backbone)):
        raise ValueError(f'backbone {kind!r}: expected a subclass of Backbone, got {found!r}')
    return found
