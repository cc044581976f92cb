"""The policy: one observation in, one chunk of joint targets out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dit4dit_policy.inference.aim import Aim
from dit4dit_policy.inference.chunk_policy import Future, Observation
from dit4dit_policy.inference.chunking import guided, soft_mask
from dit4dit_policy.inference.continuation import Prefix
from dit4dit_policy.inference.fast_path import FastPath, Shortcuts
from dit4dit_policy.inference.processor import Processor, encoded_for, seen_by
from dit4dit_policy.inference.prompt_cache import PromptCache, default_folder
from dit4dit_policy.inference.surprise import FILE, SurpriseCalibration
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.action_dit import Velocity
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.presets import preset
from g1_description import Embodiment, load_embodiment

#: Weights of this size [bytes] and above run on a CPU in bfloat16.
_LARGE = 2**30


@dataclass
class DiT4DiTPolicy:
    """A model with the processor that belongs to it, as a `ChunkPolicy`. One thread infers.

    Its noise is drawn once, from `seed`, so that the same observation always gives the same chunk
    and successive chunks are of one mind.
    """

    model: DiT4DiT
    processor: Processor
    training: dict[str, Any]
    model_id: str
    #: The robot that it is to drive; None for the one that the processor says.
    robot: Embodiment | None = None
    #: What its tasks come to where they go well, as far as that is known.
    calibration: SurpriseCalibration | None = None
    seed: int = 0
    shortcuts: Shortcuts = field(default_factory=Shortcuts)
    #: Where prompt embeddings are kept; None for the user's cache, see `prompt_cache`.
    prompt_folder: Path | None = None
    #: Duration [s] of each stage of the last `infer`: 'image', 'backbone', 'action_dit',
    #: and 'rest'.
    durations: dict[str, float] = field(default_factory=dict)
    #: What durations are read from.
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        _check_fit(self.model.config, self.processor)
        generator = torch.Generator().manual_seed(self.seed)
        action, backbone = self.model.config.action, self.model.backbone
        noise = backbone.draw_noise(1, generator)
        action_noise = torch.randn(1, action.horizon, action.action_dim, generator=generator)
        self._device = backbone.device
        self._observed = torch.zeros(1, 0)
        self._noise = noise.to(self._device, backbone.dtype)
        self._action_noise = self.processor.initial_noise_std * action_noise.to(self._device)
        self.model.eval().requires_grad_(False)
        self.prompts = PromptCache(backbone, self.prompt_folder or default_folder())
        self._path = FastPath(self.model, self.prompts, noise, self.shortcuts)
        tells_hands = action.keyframe_hands > 0 and self.embodiment.hands
        self._aim = Aim(self.embodiment) if tells_hands else None

    @classmethod
    def load(
        cls,
        folder: str | Path,
        embodiment: Embodiment | None = None,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        prompt_folder: Path | None = None,
    ) -> DiT4DiTPolicy:
        """The checkpoint in `folder`; with `embodiment`, it has to be for that robot.

        Runs on a GPU in bfloat16 where there is one, else on the CPU: a small model in float32, a
        large one in bfloat16. `device` and `dtype` say otherwise. Embeds the instruction of every
        task, by the text encoder where it is not yet known. FileNotFoundError or ValueError says
        what was expected and what is there.
        """
        folder = Path(folder)
        processor = Processor.load(checkpoint.processor_file(folder))
        if embodiment is not None:
            try:
                processor.check_robot(embodiment)
            except ValueError as error:
                raise ValueError(f'{folder}: {error}') from None
        usual = folder / FILE
        calibration = SurpriseCalibration.load(usual) if usual.is_file() else None
        device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        model, training = checkpoint.load(folder, dtype or _dtype(folder, device))
        policy = cls(
            model.to(device),
            processor,
            training,
            model_id=folder.resolve().name,
            robot=embodiment,
            calibration=calibration,
            shortcuts=Shortcuts(compiled=torch.device(device).type == 'cuda'),
            prompt_folder=prompt_folder,
        )
        policy.prompts.embed(processor.tasks.values())
        return policy

    @classmethod
    def untrained(
        cls,
        name: str,
        device: str = 'cpu',
        dtype: torch.dtype = torch.float32,
        embodiment: Embodiment | None = None,
    ) -> DiT4DiTPolicy:
        """The preset `name` with seeded random weights, for this robot or `embodiment`.

        Its targets stay close to home.
        """
        embodiment = embodiment or load_embodiment()
        config = preset(name).with_views(len(embodiment.model_cameras))
        default = torch.get_default_dtype()
        try:
            torch.set_default_dtype(dtype)  # a large model never exists in float32
            with torch.random.fork_rng(), torch.device(device):
                torch.manual_seed(0)
                model = DiT4DiT(config).to(device)  # its tables are made on the CPU
        finally:
            torch.set_default_dtype(default)
        return cls(
            model,
            near_home(config, embodiment),
            {'trained': False},
            model_id=f'{name}-untrained',
        )

    @property
    def embodiment(self) -> Embodiment:
        """The robot it is for."""
        return self.robot or self.processor.embodiment

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras it looks at."""
        return self.processor.cameras

    @property
    def horizon(self) -> int:
        """Targets of a chunk."""
        return self.model.config.action.horizon

    @property
    def trained(self) -> bool:
        """False where the weights are random."""
        return bool(self.training['trained'])

    @property
    def step(self) -> float:
        """Time between two targets of a chunk [s]."""
        return self.processor.step

    @property
    def follow(self) -> int:
        """Targets of a chunk that are followed before the next one is made, at least."""
        return self.processor.follow

    @property
    def tasks(self) -> dict[str, str]:
        """The tasks trained on: name to instruction."""
        return self.processor.tasks

    @torch.no_grad()
    def infer(self, observation: Observation, prefix: Prefix | None = None) -> NDArray[np.float64]:
        """(horizon, A) targets [rad, m]; row k is the target `k * step` after the observation.

        With a `prefix` the chunk continues it: it begins with the frozen targets and is pulled
        towards the others. ValueError where images, state or prefix are not what
        `Observation` and `Prefix` say. After Algorithm 2: the features of one denoising pass, then
        Euler steps of the actions.
        """
        clock = [self._now()]
        image = self.processor.encode_images(observation.images)[None]
        state = self.processor.encode_state(observation.state)[None, None]
        clock.append(self._now())
        condition = self._observed = self._path.condition(image)
        clock.append(self._now())
        features = self._path.features(condition, observation.instruction)
        clock.append(self._now())
        velocity = self._path.velocity(features, state)
        if prefix is not None:
            velocity = self._guided(velocity, prefix, observation.state)
        actions = self.model.sample_actions(velocity, self._action_noise)
        clock.append(self._now())
        targets = self._decoded(0, actions[0], observation.state)
        if prefix is not None:
            targets[: prefix.frozen] = prefix.targets[: prefix.frozen]
        clock.append(self._now())
        before, image_time, backbone, action, after = np.diff(clock)
        self.durations = {
            'image': image_time,
            'backbone': backbone,
            'action_dit': action,
            'rest': before + after,
        }
        return targets

    def warm_up(self) -> None:
        """Makes chunks of nothing, as the first ones take longer, on a GPU by minutes.

        Of the thread that is to infer: what a GPU was prepared with is that thread's.
        """
        cameras = self.processor.embodiment.cameras.values()
        nothing = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in cameras}
        middle = np.add(self.processor.state_lower, self.processor.state_upper) / 2
        for instruction in 2 * [*self.tasks.values()][:1]:  # an untrained model knows none
            self.infer(Observation(nothing, middle, instruction))

    @property
    def imagines(self) -> bool:
        """Whether it can show what it expects to see."""
        return self.model.backbone.generates_video

    @property
    def keyframe(self) -> NDArray[np.float64] | None:
        """Where it expects a gripper to move next, as of the last `infer`; see `keyframe_of`."""
        told = self._path.keyframe
        return None if told is None else self.processor.decode_state(_on_cpu(told[0]).astype(float))

    @property
    def encoding(self) -> NDArray[np.float32]:
        """(C, 1, h, w) of the images that `infer` was shown last."""
        return _on_cpu(self._observed[0])

    @torch.no_grad()
    def imagination(self, observation: Observation, steps: int) -> Iterator[Future | None]:
        """What it expects to see after an observation, in `steps` of denoising.

        In pieces, for whoever has little time at once: None after each, and at last the picture.
        """
        video = self.model.backbone
        image = self.processor.encode_images(observation.images)[None]
        observed = self._path.condition(image)
        image = image.to(observed)
        latents, prompt = observed, self.prompts[observation.instruction]
        self._now()
        yield None
        noise = self.processor.imagined_noise_std * self._noise
        for clip in video.imagine_steps(observed, prompt, noise, steps):
            latents = clip
            self._now()  # a piece is done when a GPU is
            yield None
        picture = video.decode_after(image, latents)[:, :, -1]
        alone = video.config.frames_alone
        expected = latents[:, :, -1:] if alone else self._path.condition(picture)
        pixels = (_on_cpu(picture[0]).transpose(1, 2, 0) * 255).round().astype(np.uint8)
        ahead = video.config.clip_offsets[-1] * self.step
        whole = self.processor.uncropped(pixels, observation.images)
        yield Future(ahead, whole[self.processor.places[0]], _on_cpu(expected[0]))

    @torch.no_grad()
    def clip_after(
        self,
        image_3HW: torch.Tensor,
        instruction: str,
        steps: int,
        generator: torch.Generator,
        on_step: Callable[[], object] = lambda: None,
    ) -> tuple[torch.Tensor, ...]:
        """The pictures (3, H, W) in [0, 1] that it expects after one, at a clip's times."""
        video = self.model.backbone
        image = image_3HW[None].to(video.device, video.dtype)
        observed = video.encode(image[:, :, None])
        noise = self.processor.imagined_noise_std * video.draw_noise(1, generator).to(observed)
        prompt = self.prompts[instruction]
        sample = self.model.sample(observed, prompt, noise, video_steps=steps, on_step=on_step)
        assert sample.latents is not None
        return video.decode_after(image, sample.latents)[0].float().cpu().unbind(1)[1:]

    @torch.no_grad()
    def infer_batch(self, observations: Sequence[Observation]) -> list[NDArray[np.float64]]:
        """As `infer` of each, but for rounding: those of one instruction in one go.

        They are padded to 1, 2, 4, ... observations, as many sizes as a GPU has to be prepared for.
        """
        chunks: dict[int, NDArray[np.float64]] = {}
        for instruction in dict.fromkeys(seen.instruction for seen in observations):
            places = [k for k, seen in enumerate(observations) if seen.instruction == instruction]
            padded = (places * 2)[: 1 << (len(places) - 1).bit_length()]
            batch = [observations[k] for k in padded]
            images = torch.stack([self.processor.encode_images(seen.images) for seen in batch])
            states = torch.stack([self.processor.encode_state(seen.state) for seen in batch])
            features = self._path.features(self._path.condition(images), instruction)
            velocity = self._path.velocity(features, states[:, None])
            noise = self._action_noise.expand(len(batch), -1, -1)
            actions = self.model.sample_actions(velocity, noise)
            for row, (k, action) in enumerate(zip(places, actions, strict=False)):
                chunks[k] = self._decoded(row, action, observations[k].state)
        return [chunks[k] for k in range(len(observations))]

    def _decoded(
        self, row: int, actions_KA: torch.Tensor, state: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The targets of the observation in `row` of the batch that was sampled last."""
        shift = self.processor.action_shift
        targets = self.processor.decode_action(actions_KA[shift:].cpu(), state)
        targets = np.pad(targets, ((0, shift), (0, 0)), mode='edge')
        if self._aim is None or self._path.keyframe is None:
            return targets
        told = _on_cpu(self._path.keyframe[row])[self.model.config.action.state_dim :]
        return self._aim(targets, state, 0.1 * told.reshape(-1, 3).astype(float))

    def _guided(self, velocity: Velocity, prefix: Prefix, state: NDArray[np.float64]) -> Velocity:
        wanted, shift = torch.zeros_like(self._action_noise), self.processor.action_shift
        horizon, steps = wanted.shape[1], len(prefix.targets)
        if steps > horizon:
            raise ValueError(f'prefix: a chunk has {horizon} steps, got {steps}')
        known = self.processor.encode_action(prefix.targets, state)
        known = torch.cat([known[:1].expand(shift, -1), known])[:horizon]
        wanted[0, : len(known)] = known
        weight = torch.zeros_like(wanted[0])
        mask = soft_mask(min(prefix.frozen + shift, len(known)), len(known), horizon)
        weight[:, : len(self.processor.action_names)] = mask[:, None]
        return guided(velocity, wanted, weight)

    def _now(self) -> float:
        """The clock, when all that was asked of a GPU is done."""
        if self._device.type == 'cuda':
            torch.cuda.synchronize(self._device)
        return self.clock()


def _on_cpu(values: torch.Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()


def _dtype(folder: Path, device: str) -> torch.dtype:
    size = (folder / 'model.safetensors').stat().st_size if device == 'cpu' else _LARGE
    return torch.bfloat16 if size >= _LARGE else torch.float32


def near_home(config: ModelConfig, embodiment: Embodiment) -> Processor:
    """For an untrained model: the robot's targets stay close to its home."""
    lower, upper = embodiment.bounds(embodiment.action_names)
    home = embodiment.home(embodiment.action_names)
    near = np.minimum(0.05, 0.05 * (upper - lower))
    state_lower, state_upper = embodiment.bounds(embodiment.state_names)
    return Processor(
        embodiment=encoded_for(config, seen_by(embodiment, embodiment.model_cameras)),
        state_lower=tuple(state_lower),
        state_upper=tuple(state_upper),
        action_lower=tuple(np.maximum(home - near, lower)),
        action_upper=tuple(np.minimum(home + near, upper)),
        image=config.backbone.image,
        further_views=config.backbone.further_views,
        state_dim=config.action.state_dim,
        action_dim=config.action.action_dim,
        tasks={},
    )


def _check_fit(config: ModelConfig, processor: Processor) -> None:
    backbone, action = config.backbone, config.action
    expected = (*backbone.layout, action.state_dim, action.action_dim)
    got = (*processor.layout, processor.state_dim, processor.action_dim)
    if expected != got:
        raise ValueError(
            'processor.json does not belong to config.json: image, cameras, size of the further '
            f'ones, state and action are {got} there and {expected} here'
        )
