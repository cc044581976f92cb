"""What a person gave as `name:=value`, checked, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from g1_bringup.system import Argument, ArgumentError, System, Value


def given_by(words: Iterable[str]) -> dict[str, str]:
    """Names and texts of words as `name:=value`; ArgumentError for one that is no such word."""
    given = {}
    for word in words:
        name, separator, value = word.partition(':=')
        if not separator or not name:
            raise ArgumentError(f'malformed argument {word!r}; expected name:=value')
        given[name] = value
    return given


def check(system: System, given: Mapping[str, str]) -> dict[str, Value]:
    """The value of every argument of `system`, from the texts given for some of them.

    Raises ArgumentError when an argument is unknown, its text is not allowed, or the values do
    not fit together or this computer.
    """
    names = [argument.name for argument in system.arguments]
    for name in given:
        if name not in names:
            takes = f'the arguments are: {", ".join(names)}' if names else 'it takes no arguments'
            raise ArgumentError(f'{system.name}.launch.py has no argument {name!r}; {takes}')
    values = dict(
        system.completed(
            {
                argument.name: _value(argument, given.get(argument.name, argument.default_text))
                for argument in system.arguments
            }
        )
    )
    for fits in system.checks:
        fits(values)
    return values


def _value(argument: Argument, text: str) -> Value:
    """`text` as a value of `argument`, or an ArgumentError that says what is allowed."""
    if argument.allowed and text not in argument.allowed:
        raise ArgumentError(
            f'{argument.name}:={text} is not valid; choose one of: {", ".join(argument.allowed)}'
        )
    if isinstance(argument.default, bool):
        return text == 'true'
    if isinstance(argument.default, str):
        return text
    if isinstance(argument.default, tuple):
        return _several(argument, text)
    kind = type(argument.default)
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not argument.minimum <= value <= argument.maximum:
        wanted = 'a whole number' if kind is int else 'a number'
        raise ArgumentError(
            f'{argument.name}:={text} is not valid; expected {wanted} '
            f'from {argument.minimum} to {argument.maximum}'
        )
    return value


def _several(argument: Argument, text: str) -> tuple[str, ...]:
    words = tuple(text.split(',')) if text or argument.default else ()
    if not set(words) <= set(argument.choices) or len(set(words)) != len(words):
        raise ArgumentError(
            f'{argument.name}:={text} is not valid; expected some of '
            f'{", ".join(argument.choices)}, each once, with commas between them'
        )
    return words
