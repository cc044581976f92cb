"""What a client asks for, checked, and what it is answered.

A request is {examples: [{image: [...], lang, state}]}, with a `request_id` if the client likes. In
the published protocol `state` is encoded as the model takes it, and the answer holds
normalized_actions (B, T, D), scaled to [-1, 1] by the bounds of the data. With units: physical,
`state` is as the robot measures it and the answer holds `actions` [rad, m].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.chunk_policy import ChunkPolicy, Observation, follow_of

if TYPE_CHECKING:
    from dit4dit_policy.inference.processor import Processor

_MOST_EXAMPLES = 16
_LARGEST_SIDE = 4096  # of an image [px]
_LONGEST_TEXT = 2000  # of an instruction, in characters


class RequestError(ValueError):
    """A request that can't be answered; the text says what was expected."""


@dataclass(frozen=True)
class Request:
    """Observations to infer from, and in which units the answer is wanted."""

    observations: tuple[Observation, ...]
    physical: bool


def greeting(policy: ChunkPolicy) -> dict[str, Any]:
    """What the server says first; `policy` is for clients of this suite."""
    embodiment = policy.embodiment
    return {
        'env': embodiment.name,
        'policy': {
            'model_id': policy.model_id,
            'trained': policy.trained,
            'state_names': list(embodiment.state_names),
            'action_names': list(embodiment.action_names),
            'cameras': list(policy.cameras),
            'step': policy.step,
            'horizon': policy.horizon,
            'follow': follow_of(policy),
        },
    }


def read_request(message: Mapping[Any, Any], policy: ChunkPolicy) -> Request:
    """The observations of a message. RequestError says which entry is wrong, and how."""
    units = message.get('units', 'normalized')
    if not isinstance(units, str) or units not in ('normalized', 'physical'):
        raise RequestError(f'units: expected normalized or physical, got {units!r:.80}')
    physical = units == 'physical'
    if not physical and _processor(policy) is None:
        raise RequestError(f'units: {policy.model_id} normalises nothing; send units: physical')
    examples = message.get('examples')
    if not isinstance(examples, list) or not 1 <= len(examples) <= _MOST_EXAMPLES:
        raise RequestError(
            f'examples: expected a list of 1 to {_MOST_EXAMPLES}, got '
            f'{len(examples) if isinstance(examples, list) else type(examples).__name__}'
        )
    return Request(
        tuple(_observation(example, policy, physical, k) for k, example in enumerate(examples)),
        physical,
    )


def answer(
    request: Request, chunks: Sequence[NDArray[np.float64]], policy: ChunkPolicy
) -> dict[str, Any]:
    """`data` of the reply to a request, of one chunk (K, A) an observation."""
    if request.physical:
        return {'actions': np.stack(chunks)}
    processor = _processor(policy)
    assert processor is not None
    actions = [
        processor.encode_action(chunk, observation.state).numpy()
        for chunk, observation in zip(chunks, request.observations, strict=True)
    ]
    return {'normalized_actions': np.stack(actions).astype(np.float32)}


def _observation(example: Any, policy: ChunkPolicy, physical: bool, number: int) -> Observation:
    where = f'examples[{number}]'
    if not isinstance(example, Mapping):
        raise RequestError(f'{where}: expected image, lang and state, got {example!r:.80}')
    images = _images(example.get('image'), policy.cameras, f'{where}.image')
    text = example.get('lang')
    if not isinstance(text, str) or not 1 <= len(text) <= _LONGEST_TEXT:
        raise RequestError(f'{where}.lang: expected an instruction in words, got {text!r:.80}')
    state = _numbers(example.get('state'), f'{where}.state')
    expected = len(policy.embodiment.state_names)
    if not physical:
        processor = _processor(policy)
        assert processor is not None
        width = processor.encoded_states
        if len(state) < width or len(state) > processor.state_dim:
            raise RequestError(
                f'{where}.state: expected {width} encoded numbers, for {expected} of '
                f'{policy.embodiment.name}, got {len(state)}'
            )
        return Observation(images, processor.decode_state(state), text)
    if len(state) != expected:
        raise RequestError(
            f'{where}.state: expected {expected} numbers of {policy.embodiment.name}, '
            f'got {len(state)}'
        )
    return Observation(images, state, text)


def _images(given: Any, cameras: tuple[str, ...], where: str) -> dict[str, NDArray[np.uint8]]:
    """By camera: one image each in their order, or one with all of them side by side."""
    images = list(given) if isinstance(given, list | tuple) else [given]
    for image in images:
        fits = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3
        if not fits or image.shape[2] != 3 or not min(image.shape[:2]) >= 1:
            got = f'{image.dtype} {image.shape}' if isinstance(image, np.ndarray) else type(image)
            raise RequestError(f'{where}: expected uint8 arrays (H, W, 3) of RGB, got {got}')
        if max(image.shape[:2]) > _LARGEST_SIDE:
            raise RequestError(
                f'{where}: expected at most {_LARGEST_SIDE} pixels a side, got {image.shape[:2]}'
            )
    if len(images) == 1 and len(cameras) > 1 and images[0].shape[1] % len(cameras) == 0:
        images = np.split(images[0], len(cameras), axis=1)
    if len(images) != len(cameras):
        raise RequestError(
            f'{where}: expected one image each of {", ".join(cameras)}, got {len(images)}'
        )
    return dict(zip(cameras, images, strict=True))


def _numbers(given: Any, where: str) -> NDArray[np.float64]:
    """(S,) of a vector, or of a matrix with one row."""
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.ndim == 2 and len(values) == 1:
        values = values[0]
    if values.ndim != 1 or not np.isfinite(values).all():
        raise RequestError(f'{where}: expected a vector of finite numbers, got {given!r:.80}')
    return values


def _processor(policy: ChunkPolicy) -> Processor | None:
    return getattr(policy, 'processor', None)
