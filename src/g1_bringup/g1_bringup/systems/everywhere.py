"""What every launch file takes: where its names are, and how much its nodes say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from g1_bringup.system import Argument, ArgumentError, System, Value

_NAME = r'[A-Za-z][A-Za-z0-9_]*'
NAMESPACE = Argument(
    'namespace',
    '',
    "Namespace of all nodes and topics; the real robot's own /lowstate and /arm_sdk stay outside.",
)
LOG_LEVEL = Argument(
    'log_level', 'info', 'Least severe lines that are logged.', ('debug', 'info', 'warn', 'error')
)


def with_common_arguments(system: System) -> System:
    """The system, which takes these arguments too."""
    return replace(
        system,
        arguments=(*system.arguments, NAMESPACE, LOG_LEVEL),
        checks=(*system.checks, _check_namespace),
    )


def _check_namespace(values: Mapping[str, Value]) -> None:
    namespace = str(values['namespace'])
    if namespace and not re.fullmatch(rf'/?{_NAME}(/{_NAME})*', namespace):
        raise ArgumentError(
            f'namespace:={namespace} is not valid; expected names of letters, digits and _, with / '
            'between them, as lab/g1'
        )
