"""The first stage of training a small model: its video autoencoder, which is frozen afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit4dit_policy.model.cosmos.config import VaeConfig
from dit4dit_policy.model.cosmos.layers import make_vae
from dit4dit_policy.progress import Track
from dit4dit_policy.training.config import TrainConfig


def train_autoencoder(
    config: VaeConfig,
    frames: NDArray[np.uint8],
    settings: TrainConfig,
    device: torch.device,
    track: Track,
) -> tuple[Any, dict[str, tuple[float, ...]], float]:
    """Learns to reconstruct `frames` (N, H, W, 3), as the settings `autoencoder_*` say.

    On `device`. Returns the VAE, its latents' statistics as entries of `VaeConfig`, and the PSNR
    [dB].

    A pixel counts more the further it is from the average frame: the table is most of the picture,
    and the objects on it are what the policy has to find.
    """
    steps, batch, rate = (
        settings.autoencoder_steps,
        settings.autoencoder_batch_size,
        settings.autoencoder_lr,
    )
    torch.manual_seed(settings.seed)
    generator = torch.Generator(device).manual_seed(settings.seed)
    vae = make_vae(config).to(device)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    mean = torch.from_numpy(frames[:: max(1, len(frames) // 200)].mean(axis=0)) / 127.5 - 1
    mean = mean.permute(2, 0, 1).float()[:, None].to(device)
    stored = torch.from_numpy(frames)
    if device.type == 'cuda':
        stored = stored.to(device)
    for _ in track(range(steps), 'training the autoencoder', steps):
        rows = torch.randint(len(frames), (batch,), generator=generator, device=device)
        gain = 0.8 + 0.4 * torch.rand(batch, 3, 1, 1, 1, generator=generator, device=device)
        pixels = ((_pixels(stored, rows) + 1) * gain - 1).clamp(-1, 1)
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(pixels).latent_dist
            decoded = vae.decode(posterior.sample(generator)).sample
        weight = 1 + 8 * (pixels - mean).abs()
        loss = ((decoded.float() - pixels).abs() * weight).mean() + 1e-5 * posterior.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    rows = torch.randint(len(frames), (256,), generator=generator, device=device)
    latents, error = _measure(vae, _pixels(stored, rows))
    statistics = {
        'latents_mean': tuple(latents.mean((0, 2, 3, 4)).tolist()),
        'latents_std': tuple(latents.std((0, 2, 3, 4)).tolist()),
    }
    return vae, statistics, -10 * float(np.log10(error))


@torch.inference_mode()
def _measure(vae: Any, pixels: Tensor) -> tuple[Tensor, float]:
    """Latents, and the mean square error of their reconstruction with pixels in [0, 1]."""
    latents = torch.cat([vae.encode(p).latent_dist.mean for p in pixels.split(32)])
    decoded = torch.cat([vae.decode(z).sample for z in latents.split(32)])
    return latents, float(((decoded - pixels) / 2).square().mean())


def _pixels(frames: Tensor, rows: Tensor) -> Tensor:
    return frames[rows].permute(0, 3, 1, 2).float()[:, :, None] / 127.5 - 1
