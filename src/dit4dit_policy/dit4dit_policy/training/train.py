"""Training: demonstrations in, a checkpoint out. `train` is the whole story, top to bottom.

One process trains on what torch finds; under `accelerate launch` the same script shares the batch
among many, with DDP or, for large models, FSDP (config/accelerate_fsdp.yaml).
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from rich.console import Console
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from dit4dit_policy.inference import prompt_cache
from dit4dit_policy.model.attention import use_products
from dit4dit_policy.progress import steps_bar, tracker
from dit4dit_policy.training.clips import CachedClips, Clips, FreshClips
from dit4dit_policy.training.config import TrainConfig
from dit4dit_policy.training.examples import Examples
from dit4dit_policy.training.held_out import Split
from dit4dit_policy.training.latent_cache import LatentCache
from dit4dit_policy.training.linear import choose_linear, use_onednn
from dit4dit_policy.training.loop import Run
from dit4dit_policy.training.output import check_output, output_folder
from dit4dit_policy.training.start import Start, demonstrations, start

_SHOWN_EVERY = 10  # steps


def train(config: TrainConfig) -> Path:
    """Trains, or goes on where a killed run left off. Returns the checkpoint's folder.

    ValueError, before anything is written, says what of data or output does not fit.
    """
    if config.compiled:
        _check_compiler()
    _check_share(config, config.processes)
    if config.processes > 1 and 'WORLD_SIZE' not in os.environ:
        return train_together(config)
    torch.set_num_threads(config.threads)
    accelerator = _accelerator(config)
    log = Console(stderr=True, quiet=not accelerator.is_main_process)
    if accelerator.num_processes > 1:
        kind = accelerator.distributed_type.value
        log.print(f'{accelerator.num_processes} processes share each batch ({kind})')
    data = demonstrations(config)
    Split.of(data, config.val_fraction)
    if check_output(config, data.source) >= config.steps:
        log.print(f'already finished: {config.output}, {config.steps} steps', soft_wrap=True)
        return Path(config.output) / 'checkpoint'
    with (
        accelerator.main_process_first(),  # the others then find its autoencoder and latents
        output_folder(config, data.source, accelerator.is_main_process) as output,
    ):
        begin = start(config, data, accelerator.device, log)
        if accelerator.device.type == 'cpu' and config.bf16:
            use_products(begin.model)
        elif accelerator.device.type == 'cpu':
            linear = choose_linear(output)
            log.print(f'linear layers by {linear}')
            if linear == 'onednn':
                use_onednn(begin.model)
        begin.model.backbone.to(accelerator.device)
        examples = _examples(config, begin, log)
    run = Run(config, accelerator, begin, examples, log)
    run.resume(output)
    with steps_bar(log) as bar:
        line = bar.add_task('training', total=config.steps, completed=run.step)
        while run.step < config.steps:
            run.advance()
            if run.step % _SHOWN_EVERY == 0 or run.step == config.steps:
                bar.update(line, completed=run.step, description=_losses_line(run.losses))
            if run.step % config.evaluate_every == 0 or run.step == config.steps:
                run.save(output)
    accelerator.end_training()
    return output / 'checkpoint'


def train_together(config: TrainConfig) -> Path:
    """`train` in `processes` processes on this machine's CPU, which share each batch.

    On two cores two processes of one thread do more than one of two threads: 252 examples a second
    against 183 (`nano` in fp32 by oneDNN, on a CPU without AVX512-BF16).
    """
    os.environ |= {'ACCELERATE_USE_CPU': 'true', 'OMP_NUM_THREADS': str(config.threads)}
    settings = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=config.processes,
        run_id='dit4dit',
        rdzv_backend='c10d',
        rdzv_endpoint='localhost:0',
        max_restarts=0,
    )
    folders: dict[int, Path] = elastic_launch(settings, train)(config)
    return folders[0]


def _losses_line(losses: dict[str, float]) -> str:
    return 'training  ' + '  '.join(f'{name} {loss:.3f}' for name, loss in losses.items())


def _check_compiler() -> None:
    header = Path(sysconfig.get_path('include'), 'Python.h')
    compiler = os.environ.get('CXX', 'g++')
    missing = [] if header.is_file() else [f'{header}, of the package python3-dev']
    missing += [] if shutil.which(compiler) else [compiler]
    if missing:
        raise ValueError(
            f'compiled: torch.compile needs what is missing here: {" and ".join(missing)}; install '
            'it or set compiled: false'
        )


def _check_share(config: TrainConfig, processes: int) -> None:
    if config.batch_size % processes:
        raise ValueError(
            f'batch_size: expected a multiple of the {processes} processes, got {config.batch_size}'
        )


def _accelerator(config: TrainConfig) -> Accelerator:
    """The processes and devices there are. ValueError where they cannot share a batch evenly."""
    unused = DistributedDataParallelKwargs(find_unused_parameters=config.mode == 'action')
    accelerator = Accelerator(
        mixed_precision='bf16' if config.bf16 else 'no', kwargs_handlers=[unused]
    )
    _check_share(config, accelerator.num_processes)
    return accelerator


def _examples(config: TrainConfig, begin: Start, log: Console) -> Examples:
    """The demonstrations as the model sees them: pictures encoded, sentences embedded."""
    backbone, data = begin.model.backbone, begin.data
    clips: Clips
    if config.augment == 'example':
        clips = FreshClips(backbone, begin.pictures(backbone.config.layout), data.last)
    else:
        latents = LatentCache.default().latents(backbone, data, config.variants, tracker(log))
        clips = CachedClips.of(latents, data, backbone.config.clip_offsets)
    prompts = prompt_cache.PromptCache(backbone, prompt_cache.default_folder())
    prompts.embed(data.instructions)
    embedded = torch.cat([prompts[text] for text in data.instructions])
    return Examples.make(begin.model.config, data, begin.moments, begin.processor, clips, embedded)
