"""`g1 console`: the console in the browser, beside a system that is already running."""

from __future__ import annotations

import argparse
import os

from g1_ros.middleware import environment


def main(arguments: list[str] | None = None) -> int:
    """Serves the page until Ctrl-C; returns the exit code of the node."""
    parser = argparse.ArgumentParser(
        prog='g1 console',
        description='Serve a page that shows the running system and asks it to arm, stop, record.',
        epilog='An address that other computers reach needs a token: '
        'export G1_CONSOLE_TOKEN=$(openssl rand -hex 16), then open '
        'http://ADDRESS:PORT/?token=... once. See docs/console.md.',
    )
    parser.add_argument('--address', default='127.0.0.1', help='listened on (default %(default)s)')
    parser.add_argument('--port', type=int, default=8088, help='(default %(default)s)')
    parser.add_argument('--namespace', default='', help='of the system, as it was launched')
    given = parser.parse_args(arguments)
    words = ['--ros-args', '-p', f'address:={given.address}', '-p', f'port:={given.port}']
    if given.namespace:
        words += ['-r', f'__ns:=/{given.namespace.strip("/")}']
    os.environ.update(environment({'robot': 'g1'}))

    from g1_console.nodes.console_node import main as run_node

    return run_node(words)
