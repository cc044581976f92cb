"""`g1 recorder`: what the headset's buttons and the console's do, from a terminal."""

from __future__ import annotations

import argparse
import sys

from g1_console.listening import operator_node
from g1_console.services import NoAnswer, ask

_WHAT = {
    'start': 'begins an episode; refused, with the reason, while a source is missing',
    'save': 'ends the episode and adds it to the dataset',
    'discard': 'ends the episode and forgets it',
    'pause': 'leaves out what comes, once the arms rest',
    'resume': 'goes on with the episode; refused where the arms were moved in the pause',
    'keep': 'makes an episode of the last seconds while nothing is recorded (keep_last:=30)',
    'success': 'says that the episode is one',
    'failure': 'says that the episode is one',
}


def main(words: list[str]) -> int:
    """Asks the running recorder; 0 when it did as asked, 1 when it refuses or is not there."""
    parser = argparse.ArgumentParser(
        prog='g1 recorder',
        description='Begins, pauses, judges, saves or discards an episode of the running '
        'recorder_node.',
        epilog='; '.join(f'{name} {what}' for name, what in _WHAT.items()) + '.',
    )
    parser.add_argument('what', choices=tuple(_WHAT))
    name = parser.parse_args(words).what
    with operator_node('g1_recorder_command') as node:
        try:
            answer = ask(node, f'recorder/{name}', timeout=20.0)
        except NoAnswer as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
    print(answer.message, file=sys.stdout if answer.success else sys.stderr)
    return 0 if answer.success else 1
