"""What every launch file takes: a console, where its names are, and how much its nodes say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from g1_bringup.system import Argument, ArgumentError, Node, System, Value

_NAME = r'[A-Za-z][A-Za-z0-9_]*'
NAMESPACE = Argument(
    'namespace',
    '',
    "Namespace of all nodes and topics; the real robot's own /lowstate and /arm_sdk stay outside.",
)
LOG_LEVEL = Argument(
    'log_level', 'info', 'Least severe lines that are logged.', ('debug', 'info', 'warn', 'error')
)
CONSOLE = Argument(
    'console',
    False,
    'Serve a page at http://127.0.0.1:8088 that shows robot, cameras and safety state, and asks to '
    'arm, stop and record; with another address, by console.yaml, it needs a token.',
)
#: Its end stops nothing else.
_CONSOLE_NODE = Node(
    'g1_console',
    'console_node',
    config=('console.yaml',),
    when=(('console', 'true'),),
    required=False,
    nice=5,
)


def with_common_arguments(system: System) -> System:
    """The system, which takes these arguments too."""
    return replace(
        system,
        arguments=(*system.arguments, CONSOLE, NAMESPACE, LOG_LEVEL),
        nodes=(*system.nodes, _CONSOLE_NODE),
        checks=(*system.checks, _check_namespace),
    )


def _check_namespace(values: Mapping[str, Value]) -> None:
    namespace = str(values['namespace'])
    if namespace and not re.fullmatch(rf'/?{_NAME}(/{_NAME})*', namespace):
        raise ArgumentError(
            f'namespace:={namespace} is not valid; expected names of letters, digits and _, with / '
            'between them, as lab/g1'
        )
