"""A toy robot and its demonstrations: joints go to where a red square is in the picture."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from dit4dit_policy.inference.processor import Processor, seen_by
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.cosmos.config import TextConfig
from dit4dit_policy.model.cosmos.layers import make_transformer, make_vae
from dit4dit_policy.model.dit4dit import Batch
from dit4dit_policy.model.presets import preset
from g1_data import DatasetWriter, Schema
from g1_description import Camera, Embodiment, Group

JOINTS = tuple(f'joint_{i}' for i in range(16))
INSTRUCTION = 'Touch the red square.'
SIZE = (96, 128)
QWEN = TextConfig(encoder='qwen2_5_vl', layers=3, hidden=32, tokens=320)


def tiny(**changes: Any) -> ModelConfig:
    """`nano`, as small as its parts allow."""
    nano = preset('nano')
    backbone: Any = nano.backbone
    transformer = replace(
        backbone.transformer,
        num_attention_heads=1,
        num_layers=3,
        adaln_lora_dim=8,
        mlp_ratio=2.0,
    )
    video = replace(
        backbone,
        transformer=transformer,
        vae=replace(backbone.vae, base_dim=8),
        image=(32, 48),
    )
    action = replace(
        nano.action, width=32, heads=2, layers=2, hidden_dim=32, feature_dim=32, future_tokens=2
    )
    return replace(nano, backbone=video, action=action, **changes)


def with_keyframe() -> ModelConfig:
    """`tiny` that is shown where a gripper will next move."""
    config = tiny()
    return replace(config, action=replace(config.action, keyframe_weight=0.5))


def batch(config: ModelConfig, size: int = 4, seed: int = 0) -> Batch:
    g = torch.Generator().manual_seed(seed)
    backbone: Any = config.backbone
    action, text = config.action, backbone.text
    return Batch(
        latents=torch.randn(size, *backbone.latent_shape, generator=g),
        prompt=torch.randn(size, text.tokens, text.width, generator=g),
        state=torch.randn(size, 1, action.state_dim, generator=g),
        actions=torch.rand(size, action.horizon, action.action_dim, generator=g) * 2 - 1,
        mask=torch.ones(size, action.horizon, action.action_dim),
        keyframe=torch.rand(size, action.state_dim, generator=g) * 2 - 1,
    )


def processor(config: ModelConfig) -> Processor:
    return Processor(
        embodiment=seen_by(embodiment(), ('head',)),
        state_lower=(-1.0,) * 16,
        state_upper=(1.0,) * 16,
        action_lower=(-0.5,) * 16,
        action_upper=(1.5,) * 16,
        image=config.backbone.image,
        state_dim=config.action.state_dim,
        action_dim=config.action.action_dim,
        tasks={'touch': INSTRUCTION},
    )


def embodiment(
    joints: tuple[str, ...] = JOINTS, cameras: tuple[str, ...] = ('head',)
) -> Embodiment:
    """Two arms and two grippers, and the cameras that see them."""
    parts = {'left_arm': joints[:7], 'right_arm': joints[7:14], 'grippers': joints[14:]}
    groups = tuple(Group(name, part, part) for name, part in parts.items())
    seen = {name: Camera(name, f'observation.images.{name}', SIZE[1], SIZE[0]) for name in cameras}
    return Embodiment('toy', 'toy', 10.0, groups, seen)


def embodiment_file(
    path: Path, joints: tuple[str, ...] = JOINTS, cameras: tuple[str, ...] = ('head',)
) -> Path:
    """The YAML of `embodiment`."""
    robot = embodiment(joints, cameras)
    content = {
        'name': robot.name,
        'robot_type': robot.robot_type,
        'rate': robot.rate,
        'groups': {group.name: {'joints': list(group.state)} for group in robot.groups},
        'cameras': {
            camera.name: {'key': camera.key, 'width': camera.width, 'height': camera.height}
            for camera in robot.cameras.values()
        },
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def scene(place: np.ndarray, arm: float, size: tuple[int, int] = SIZE) -> np.ndarray:
    """The square at `place` (x, y in 0..1) and a grey arm reaching `arm` (0..1) up."""
    height, width = size
    image = np.full((height, width, 3), (150, 110, 60), dtype=np.uint8)
    x, y = int(place[0] * (width - 12)), int(place[1] * (height - 12))
    image[y : y + 12, x : x + 12] = (220, 20, 20)
    image[height - int(arm * height / 2) :, 60:66] = 90
    return image


def demonstration(place: np.ndarray, length: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """States and targets (length, 16): joints 0 and 1 move from 0 to the square's place."""
    way = np.minimum(np.arange(length + 1) / 16, 1.0)[:, None]
    path = np.zeros((length + 1, 16))
    path[:, :2] = way * place
    return path[:-1], path[1:]


def record(
    root: Path,
    episodes: int,
    seed: int = 0,
    joints: tuple[str, ...] = JOINTS,
    cameras: tuple[str, ...] = ('head',),
    instruction: str = INSTRUCTION,
) -> Path:
    """A dataset of that many demonstrations; every camera sees the same."""
    rng = np.random.default_rng(seed)
    writer = DatasetWriter.create(
        root, Schema.of(embodiment(joints, cameras), dict.fromkeys(cameras, SIZE))
    )
    for _ in range(episodes):
        place = rng.uniform(size=2)
        with writer.episode(instruction) as episode:
            for k, (state, action) in enumerate(zip(*demonstration(place), strict=True)):
                arm = min(k / 16, 1.0)
                episode.add(state, action, dict.fromkeys(cameras, scene(place, arm)))
    return root


def with_qwen() -> ModelConfig:
    """`tiny` with the text encoder of `qwen`."""
    config = tiny()
    video: Any = config.backbone
    transformer = replace(video.transformer, crossattn_proj_in_channels=QWEN.width)
    return replace(config, backbone=replace(video, text=QWEN, transformer=transformer))


def cosmos(root: Path) -> Path:
    """A folder of Cosmos-Predict2.5 with the sizes of `with_qwen`, its video DiT in shards."""
    video: Any = with_qwen().backbone
    torch.manual_seed(1)
    make_transformer(video.transformer).save_pretrained(root / 'transformer', max_shard_size='99KB')
    make_vae(video.vae).save_pretrained(root / 'vae')
    return qwen(root)


def qwen(root: Path) -> Path:
    """A folder with `text_encoder/` and `tokenizer/`: a tiny random Qwen2.5-VL that reads bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
    )

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ['<|pad|>', '<|im_start|>', '<|im_end|>']
    tokens = Tokenizer(models.BPE({t: i for i, t in enumerate(letters + special)}, []))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token=special[0], additional_special_tokens=special[1:]
    )
    tokenizer.chat_template = (
        '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content[0].text }}<|im_end|>\n'
        '{% endfor %}'
    )
    tokenizer.save_pretrained(root / 'tokenizer')
    config = Qwen2_5_VLConfig(
        text_config={
            'vocab_size': len(letters + special), 'hidden_size': QWEN.hidden,
            'intermediate_size': 64, 'num_hidden_layers': QWEN.layers, 'num_attention_heads': 2,
            'num_key_value_heads': 1, 'max_position_embeddings': 512, 'initializer_range': 0.2,
            'rope_parameters': {'rope_type': 'default', 'mrope_section': [2, 3, 3]},
            'bos_token_id': 0, 'eos_token_id': 0,
        },
        vision_config={
            'depth': 1, 'hidden_size': 16, 'intermediate_size': 16, 'num_heads': 2,
            'out_hidden_size': QWEN.hidden, 'fullatt_block_indexes': [0],
        },
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(root / 'text_encoder')
    return root
