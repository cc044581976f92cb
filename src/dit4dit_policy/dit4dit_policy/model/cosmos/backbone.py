"""The video backbone: frozen VAE and text encoder, video DiT, and the layer its features are of.

Shapes: B batch, C latent channels, T latent frames, h w latent size, L text tokens, D width of the
video DiT. Latents are normalised; the condition frame, which is the current image, is frame 0.
Pixels lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dit4dit_policy.model import flow
from dit4dit_policy.model.backbone import Backbone, count_parameters, describe_image
from dit4dit_policy.model.cosmos import pretrained
from dit4dit_policy.model.cosmos.config import CosmosConfig
from dit4dit_policy.model.cosmos.layers import make_transformer, make_vae
from dit4dit_policy.model.cosmos.passes import Pass, clip_velocity, hidden_states, make_pass
from dit4dit_policy.model.cosmos.text_encoder import ByteTextEncoder, QwenTextEncoder
from dit4dit_policy.model.weights import Stored


class CosmosBackbone(Backbone):
    """What the policy sees (`features`) and what it imagines (`velocity`), by the same weights.

    `frozen_folder`, of Cosmos-Predict2.5-2B, is where the VAE came from, if it did, and where the
    first `embed` loads the paper's text encoder from.

    Its shortcuts: one_frame, the VAE, which is causal, encodes the current image alone, not the
    clip it begins; stop_at_feature_layer, blocks after it are not run; modulate_frames, modulation
    is computed for a frame, not for each of its tokens.
    """

    Config = CosmosConfig
    shortcuts = ('one_frame', 'stop_at_feature_layer', 'modulate_frames')
    stages = ('VAE', 'video DiT')
    has_loss = True
    generates_video = True
    frozen_parts = ('vae.',)

    config: CosmosConfig
    latents_mean: Tensor
    latents_scale: Tensor

    def __init__(self, config: CosmosConfig) -> None:
        super().__init__()
        self.config = config
        self.vae = make_vae(config.vae).requires_grad_(False)
        self.text_encoder: ByteTextEncoder | QwenTextEncoder | None = None
        if config.text.encoder == 'bytes':
            self.text_encoder = ByteTextEncoder(config.text).requires_grad_(False)
        self.transformer = make_transformer(config.transformer)
        # These are no weights: they have values even where weights are only outlined (`meta`).
        std = torch.tensor(config.vae.latents_std, device='cpu')
        scale = 1 / std if config.latent_scaling == 'divide_by_std' else std
        mean = torch.tensor(config.vae.latents_mean, device='cpu')
        self.register_buffer('latents_mean', mean.view(-1, 1, 1, 1), persistent=False)
        self.register_buffer('latents_scale', scale.view(-1, 1, 1, 1), persistent=False)

    # --- frozen parts -----------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, frames_B3THW: Tensor) -> Tensor:
        """Normalised latents (B, C, T, h, w) of frames in [0, 1]: the mean of the VAE's posterior.

        The VAE is causal, so one frame, the condition frame, is encoded alone. Where the VAE does
        not compress time, every frame of a clip is: a frame then has the same latent wherever in a
        clip it stands.
        """
        pixels = frames_B3THW * 2 - 1
        if self.config.frames_alone:
            single = pixels.transpose(1, 2).flatten(0, 1).unsqueeze(2)
            encoded = self.vae.encode(single).latent_dist.mean.squeeze(2)
            latents = encoded.unflatten(0, (len(pixels), -1)).transpose(1, 2)
        else:
            latents = self.vae.encode(pixels).latent_dist.mean
        return (latents - self.latents_mean) * self.latents_scale

    @torch.no_grad()
    def decode(self, latents_BCThw: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W) in [0, 1] of normalised latents."""
        latents = latents_BCThw / self.latents_scale + self.latents_mean
        if self.config.frames_alone:
            single = latents.transpose(1, 2).flatten(0, 1).unsqueeze(2)
            decoded = self.vae.decode(single).sample.squeeze(2)
            frames = decoded.unflatten(0, (len(latents), -1)).transpose(1, 2)
        else:
            frames = self.vae.decode(latents).sample
        return (frames / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def embed(self, sentences: list[str]) -> Tensor:
        """(B, L, text width) of instructions; a sentence always has the same: cache it.

        FileNotFoundError where the text encoder has to be loaded, and is not there.
        """
        if self.text_encoder is None:
            if self.frozen_folder is None:
                raise FileNotFoundError(
                    f'{sentences}: no embedding at hand, and no folder of Cosmos-Predict2.5-2B to '
                    'load its text encoder from; expected `frozen` in config.json to name one'
                )
            self.text_encoder = QwenTextEncoder(
                self.config.text, self.frozen_folder, self.transformer.device
            )
        return self.text_encoder(sentences).to(self.transformer.dtype)

    @property
    def prompt_label(self) -> dict[str, Any] | None:
        """Of Qwen2.5-VL, which has to be loaded; the byte encoder is quicker than the disk."""
        text = self.config.text
        if text.encoder == 'bytes':
            return None
        return asdict(text) | {'dtype': str(self.dtype)}

    def release_text_encoder(self) -> None:
        """Lets go of Qwen2.5-VL: the next `embed` loads it again."""
        if self.config.text.encoder != 'bytes':
            self.text_encoder = None

    @property
    def autoencoder(self) -> nn.Module:
        """The VAE."""
        vae: nn.Module = self.vae
        return vae

    def pretrained_weights(self, folder: Path) -> dict[str, Stored]:
        """Video DiT and VAE of a folder of Cosmos-Predict2.5-2B."""
        stored = pretrained.transformer_weights(folder, self.config.transformer)
        video = {f'transformer.{name}': tensor for name, tensor in stored.items()}
        return video | self.frozen_weights(folder)

    @property
    def encoder_label(self) -> dict[str, Any]:
        """VAE, its scaling and the size of the frame."""
        config = self.config
        return {
            'image': config.image,
            'frame': config.frame,
            'vae': asdict(config.vae),
            'latent_scaling': config.latent_scaling,
        }

    def frozen_weights(self, folder: Path) -> dict[str, Stored]:
        """The VAE's, of a folder of Cosmos-Predict2.5-2B."""
        stored = pretrained.vae_weights(folder, self.config.vae)
        return {f'vae.{name}': tensor for name, tensor in stored.items()}

    # --- features --------------------------------------------------------------------------------

    def features(
        self, observed_BC1hw: Tensor, noise: Tensor, prompt_BLE: Tensor, tau_B: Tensor
    ) -> Tensor:
        """Hidden features (B, N, D), N = T*h*w / patch, of the last denoising pass.

        The current frame's latent; noise (B, C, T, h, w) of the frames to come (its frame 0 is
        ignored) and its flow times. One pass at `tau_B`, or `feature_steps` of them, which walk
        from there towards 0 in equal Euler steps (the ablation of Section 5); only the last has a
        gradient. Blocks after the feature layer are not run in it.
        """
        return self.features_of(
            observed_BC1hw, self.prepare(prompt_BLE, noise, tau_B, self.shortcuts)
        )

    def draw_noise(
        self,
        batch: int,
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """(B, C, T, h, w) of a clip."""
        return torch.randn(batch, *self.config.latent_shape, generator=generator, device=device)

    def draw_times(
        self,
        batch: int,
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """(B,) of `feature_times`."""
        times = torch.tensor(self.config.feature_times, device=device)
        return times[torch.randint(len(times), (batch,), generator=generator, device=device)]

    @property
    def feature_time(self) -> float:
        """Flow time of the features at inference."""
        return self.config.feature_time

    def observe(self, image_B3HW: Tensor, shortcuts: Iterable[str]) -> Tensor:
        """The latent (B, C, 1, h, w) of the current frame."""
        frames = 1 if 'one_frame' in shortcuts else len(self.config.clip_offsets)
        clip = image_B3HW.new_zeros(len(image_B3HW), 3, frames, *image_B3HW.shape[2:])
        clip[:, :, 0] = image_B3HW
        return self.encode(clip)[:, :, :1]

    def prepare(
        self, prompt_BLE: Tensor, noise: Tensor, tau_B: Tensor, shortcuts: Iterable[str]
    ) -> Prepared:
        """The passes of `features`: all but the image, the same for a whole task."""
        config = self.config
        layers = config.transformer.num_layers
        step_B = tau_B / config.feature_steps
        passes = []
        for i in range(config.feature_steps):
            last = i == config.feature_steps - 1
            stop = last and 'stop_at_feature_layer' in shortcuts
            passes.append(
                make_pass(
                    self.transformer,
                    prompt_BLE,
                    tau_B - i * step_B,
                    noise,
                    config,
                    config.feature_blocks if stop else layers,
                    modulate_tokens='modulate_frames' not in shortcuts,
                )
            )
        return Prepared(noise, passes)

    def features_of(self, observed_BC1hw: Tensor, prepared: Prepared) -> Tensor:
        """`features` by passes that were prepared before."""
        passes = prepared.passes
        latents = torch.cat([observed_BC1hw, prepared.noise_BCThw[:, :, 1:]], dim=2)
        for this, following in pairwise(passes):
            with torch.no_grad():
                velocity = clip_velocity(self.transformer, latents, this)
            step_B = (this.tau_B - following.tau_B).view(-1, 1, 1, 1, 1)
            future = latents[:, :, 1:] - step_B * velocity[:, :, 1:]
            latents = torch.cat([observed_BC1hw, future], dim=2)
        hidden = hidden_states(self.transformer, latents, passes[-1])
        if self.config.feature_layer == 'mean':
            return torch.stack(hidden).mean(0)
        return hidden[self.config.feature_layer]

    # --- video ------------------------------------------------------------------------------------

    def loss(
        self, latents_BCThw: Tensor, prompt_BLE: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Flow-matching loss of the future frames; the current frame stays clean, uncounted."""
        tau = self._video_times(latents_BCThw, generator)
        noise = torch.randn(latents_BCThw.shape, generator=generator, device=latents_BCThw.device)
        noisy = flow.interpolate(latents_BCThw, noise, tau)
        noisy = torch.cat([latents_BCThw[:, :, :1], noisy[:, :, 1:]], dim=2)
        predicted = self.velocity(noisy, prompt_BLE, tau)
        error = predicted - flow.velocity_target(latents_BCThw, noise)
        return error[:, :, 1:].square().mean()

    @torch.no_grad()
    def imagine(
        self,
        observed_BC1hw: Tensor,
        prompt_BLE: Tensor,
        noise: Tensor,
        steps: int,
        on_step: Callable[[], object] = lambda: None,
    ) -> Tensor:
        """Latents (B, C, T, h, w) of the current frame and the future imagined after it."""
        latest = noise
        for clip in self.imagine_steps(observed_BC1hw, prompt_BLE, noise, steps):
            latest = clip
            on_step()
        return latest

    def imagine_steps(
        self, observed_BC1hw: Tensor, prompt_BLE: Tensor, noise: Tensor, steps: int
    ) -> Iterator[Tensor]:
        """Algorithm 2: `steps` of Euler from `noise` (B, C, T, h, w), frame 0 being given."""

        def velocity(x: Tensor, tau: float) -> Tensor:
            clip = torch.cat([observed_BC1hw, x[:, :, 1:]], dim=2)
            times = torch.full((len(x),), tau, device=x.device)
            return self.velocity(clip, prompt_BLE, times)

        for future in flow.euler_steps(velocity, noise, steps):
            yield torch.cat([observed_BC1hw, future[:, :, 1:]], dim=2)

    def velocity(self, latents_BCThw: Tensor, prompt_BLE: Tensor, tau_B: Tensor) -> Tensor:
        """Flow velocity (B, C, T, h, w) of a clip: frame 0 is clean, the others are at `tau_B`."""
        net = self.transformer
        layers = len(net.transformer_blocks)
        whole = make_pass(net, prompt_BLE, tau_B, latents_BCThw, self.config, layers)
        return clip_velocity(net, latents_BCThw, whole)

    def _video_times(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """Uniform in the paper; in the released code logit-normal, 5 % forced above 0.98."""
        tau = flow.uniform_times(len(like), generator, like.device)
        if self.config.time_distribution == 'uniform':
            return tau
        normal = torch.randn(len(like), generator=generator, device=like.device).sigmoid()
        high = flow.uniform_times(len(like), generator, like.device) < 0.05
        return torch.where(high, 0.98 + 0.02 * tau, normal)

    def describe(self, frozen: Path | None) -> dict[str, str]:
        """Lines of `dit4dit info`; `frozen` is the folder that a checkpoint refers to."""
        config, blocks = self.config, self.config.transformer.num_layers
        where = f'in {frozen}' if frozen else 'included'
        if config.text.encoder == 'bytes':
            text = 'bytes, untrained, included'
        else:
            text = f'Qwen2.5-VL {where}' if frozen else 'Qwen2.5-VL, not here: prompts cached'
        mean = config.feature_layer == 'mean'
        layer = 'mean of all' if mean else f'block {config.feature_blocks} of'
        frames = len(config.clip_offsets) - 1
        return {
            'video DiT': f'{count_parameters(self.transformer)}, {blocks} blocks of {config.width}',
            'VAE (frozen)': f'{count_parameters(self.vae)}, {where}',
            'text encoder (frozen)': text,
            'features': f'{layer} {blocks} blocks, at flow time {config.feature_time:.4g}, after '
            f'{config.feature_steps} denoising pass(es)',
            'image': f'{describe_image(config)}, imagines {frames} frames ahead',
        }

    # --- video DiT --------------------------------------------------------------------------------

    @property
    def recomputable(self) -> Iterable[nn.Module]:
        """The video DiT's blocks."""
        blocks: Iterable[nn.Module] = self.transformer.transformer_blocks
        return blocks

    @property
    def device(self) -> torch.device:
        """Where the video DiT is."""
        device: torch.device = self.transformer.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the video DiT."""
        dtype: torch.dtype = self.transformer.dtype
        return dtype


@dataclass(frozen=True)
class Prepared:
    """What features of one sentence take besides the image: noise of a clip, and the passes."""

    noise_BCThw: Tensor
    passes: list[Pass]
