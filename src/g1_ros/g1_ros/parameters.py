"""Parameters declared once: a frozen dataclass whose fields carry unit, range and description.

@dataclass(frozen=True)
class CameraParameters:
    rate: float = parameter(15.0, unit='Hz', minimum=1.0, maximum=60.0, description='Images.')

declare(node, CameraParameters)                    # in a node: described and ranged parameters
load(CameraParameters, config_path('sim.yaml'))    # without ROS: the same file, the same checks
"""

from __future__ import annotations

import math
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

import yaml

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.parameter import Parameter

T = TypeVar('T')


def parameter(
    default: Any,
    *,
    description: str,
    unit: str = '',
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field that is a parameter: its default and what it takes to set it well.

    A default of None, of a field of type `T | None`, is one that nobody has set yet.
    """
    metadata = {
        'description': description,
        'unit': unit,
        'minimum': minimum,
        'maximum': maximum,
        'choices': choices,
    }
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def declare(node: Node, schema: type[T]) -> T:
    """Declares every field of `schema` on `node` and returns the values given at start.

    Raises ValueError naming the parameter when a value has the wrong type or is out of range.
    """
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    values = {}
    types = _types(schema)
    for f in fields(schema):  # type: ignore[arg-type]
        low, high = f.metadata['minimum'], f.metadata['maximum']
        descriptor = ParameterDescriptor(
            description=_describe(f),
            additional_constraints=_constraint(f),
            read_only=True,
            dynamic_typing=True,  # our own check below says more than rclpy's
        )
        if types[f.name] is float and low is not None and high is not None:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
        if types[f.name] is int and low is not None and high is not None:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        overrides = node._parameter_overrides  # checked first: rclpy's message names no range
        if f.name in overrides:
            _checked(f, types[f.name], overrides[f.name].value)
        value = node.declare_parameter(f.name, _default(f), descriptor).value
        values[f.name] = _checked(f, types[f.name], value)
    return schema(**values)


def keep_clock(node: Node) -> None:
    """Refuses to change `use_sim_time` from now on: stamps would jump while something moves."""
    from rcl_interfaces.msg import SetParametersResult

    def check(changes: list[Parameter]) -> SetParametersResult:
        if any(change.name == 'use_sim_time' for change in changes):
            reason = (
                'use_sim_time is read at the start only; start the node again with '
                '--ros-args -p use_sim_time:=true'
            )
            return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)


def load(schema: type[T], *paths: str | Path, **overrides: Any) -> T:
    """Reads `schema` from ROS parameter files without ROS; other keys in them are left alone.

    Where several files have a key, the last one counts.
    """
    given: dict[str, Any] = {}
    for path in paths:
        content = yaml.safe_load(Path(path).read_text()) or {}
        for section in content.values():
            given.update(section.get('ros__parameters', {}))
    given.update(overrides)
    types = _types(schema)
    return schema(
        **{
            f.name: _checked(f, types[f.name], given.get(f.name, _default(f)))
            for f in fields(schema)  # type: ignore[arg-type]
        }
    )


def _types(schema: type[Any]) -> dict[str, Any]:
    """Of each field; of `T | None`, T."""
    kinds = {}
    for name, hint in get_type_hints(schema).items():
        parts = [part for part in get_args(hint) if part is not type(None)]
        kinds[name] = parts[0] if type(None) in get_args(hint) else hint
    return kinds


def _default(f: Field[Any]) -> Any:
    return f.default_factory() if f.default_factory is not MISSING else f.default


def _describe(f: Field[Any]) -> str:
    unit = f.metadata['unit']
    return f.metadata['description'] + (f' [{unit}]' if unit else '')


def _constraint(f: Field[Any]) -> str:
    low, high, choices = f.metadata['minimum'], f.metadata['maximum'], f.metadata['choices']
    if choices:
        return 'one of: ' + ', '.join(choice or "''" for choice in choices)
    if low is not None or high is not None:
        return f'from {low if low is not None else "-inf"} to {high if high is not None else "inf"}'
    return ''


def _checked(f: Field[Any], kind: Any, value: Any) -> Any:
    """`value` as `kind`, or a ValueError that says what was expected and what came."""
    if value is None and _default(f) is None:
        return None
    wanted = getattr(kind, '__name__', str(kind))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    expected = {float: float, int: int, bool: bool, str: str}.get(kind, (list, tuple))
    wrong_type = not isinstance(value, expected) or (kind is int and isinstance(value, bool))
    wrong_choice = f.metadata['choices'] and value not in f.metadata['choices']
    low, high = f.metadata['minimum'], f.metadata['maximum']
    numbers = value if isinstance(value, list | tuple) else [value]
    out_of_range = any(not _in_range(n, low, high) for n in numbers if isinstance(n, int | float))
    if wrong_type or wrong_choice or out_of_range:
        constraint = _constraint(f)
        unit = f.metadata['unit']
        raise ValueError(
            f'parameter {f.name}: expected {wanted}'
            + (f' {constraint}' if constraint else '')
            + (f' [{unit}]' if unit else '')
            + f', got {value!r}'
        )
    return list(value) if isinstance(value, tuple) else value


def _in_range(number: float, low: float | None, high: float | None) -> bool:
    above = low is None or number >= low
    below = high is None or number <= high
    return math.isfinite(number) and above and below
