"""What a DiT4DiT is made of: a backbone, an action DiT, and how they are trained together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from dit4dit_policy.model.backbone import BackboneConfig, backbone_class
from dit4dit_policy.model.checks import check_choices, check_positive, from_json


@dataclass(frozen=True)
class ActionConfig:
    """The action DiT (Section 4.3).

    `width` is that of its tokens, `hidden_dim` of its MLPs, `feature_dim` of the backbone's tokens;
    states and actions are padded to `state_dim` and `action_dim`. `max_positions` is the length of
    its table of positions in a chunk. `time_convention` turns a draw s of Beta(*beta) into tau:
    'paper' 1 - s, 'released' s / 0.999 up to 1. With a `keyframe_weight` above 0, the weight of its
    loss, it is also shown the keyframe: the state in which a gripper will next begin to open or
    close, as a head tells it from the features alone (not of the paper); and, of so many
    `keyframe_hands`, where each then is.
    """

    width: int
    heads: int
    layers: int
    hidden_dim: int
    feature_dim: int
    action_dim: int
    state_dim: int
    horizon: int = 16
    future_tokens: int = 32
    max_positions: int = 1024
    dropout: float = 0.0
    euler_steps: int = 4
    beta: tuple[float, float] = (1.5, 1.0)
    time_convention: Literal['paper', 'released'] = 'paper'
    keyframe_weight: float = 0.0
    keyframe_hands: int = 0

    def __post_init__(self) -> None:
        check_choices(self)
        counts = ('width', 'heads', 'layers', 'hidden_dim', 'feature_dim', 'action_dim')
        check_positive(self, *counts, 'state_dim', 'horizon', 'euler_steps')
        for name in ('future_tokens', 'keyframe_hands'):
            if (count := getattr(self, name)) < 0:
                raise ValueError(f'{name}: expected 0 or more, got {count}')
        if self.horizon > self.max_positions:
            raise ValueError(
                f'horizon: {self.horizon} actions need as many position embeddings, there are '
                f'{self.max_positions} (max_positions)'
            )
        if self.keyframe_weight < 0:
            raise ValueError(f'keyframe_weight: expected 0 or more, got {self.keyframe_weight}')
        if not 0 <= self.dropout < 1:
            raise ValueError(f'dropout: expected 0 to below 1, got {self.dropout}')
        if len(self.beta) != 2 or min(self.beta) <= 0:
            raise ValueError(f'beta: expected two positive parameters, got {self.beta}')
        if self.width % self.heads:
            raise ValueError(f'action width {self.width} does not divide into {self.heads} heads')
        if self.layers % 2:
            raise ValueError(
                'action layers: cross- and self-attention alternate, expected an even number, '
                f'got {self.layers}'
            )

    @property
    def keyframe_dim(self) -> int:
        """Numbers of a keyframe: an encoded state, and three for each hand [dm]."""
        return self.state_dim + 3 * self.keyframe_hands


@dataclass(frozen=True)
class ModelConfig:
    """A whole DiT4DiT: any backbone, and the action DiT that reads its features.

    `backbone_loss_weight` is lambda of Algorithm 1, the weight of the backbone's own loss where it
    has one; with `feature_gradient` the action loss trains the backbone too.
    """

    backbone: BackboneConfig
    action: ActionConfig
    backbone_loss_weight: float = 1.0
    feature_gradient: bool = True
    state_encoding: Literal['min_max', 'sin_cos'] = 'min_max'

    def __post_init__(self) -> None:
        check_choices(self)
        if self.backbone_loss_weight < 0:
            raise ValueError(
                f'backbone_loss_weight: expected 0 or more, got {self.backbone_loss_weight}'
            )
        if self.action.feature_dim != self.backbone.width:
            raise ValueError(
                f'action.feature_dim: the backbone gives {self.backbone.width}, '
                f'got {self.action.feature_dim}'
            )

    def with_views(self, views: int) -> ModelConfig:
        """The same model for another number of cameras."""
        return replace(self, backbone=self.backbone.with_views(views))

    def to_dict(self) -> dict[str, Any]:
        """Entries for JSON; `backbone.kind` says whose the others of `backbone` are."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Inverse of `to_dict`. ValueError names a key that is missing or unknown."""
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(f'model: unknown {sorted(unknown)}; known are {sorted(known)}')
        values = dict(values)
        for name, build in (('backbone', _backbone), ('action', _action)):
            if name in values:
                values[name] = build(values[name], f'model.{name}')
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f'model: {error}') from None


def _backbone(values: Any, where: str) -> BackboneConfig:
    if not isinstance(values, dict) or 'kind' not in values:
        raise ValueError(f'{where}: expected entries by name, `kind` among them, got {values!r}')
    config: BackboneConfig = from_json(backbone_class(values['kind']).Config, values, where)
    return config


def _action(values: Any, where: str) -> ActionConfig:
    config: ActionConfig = from_json(ActionConfig, values, where)
    return config
