"""A Python of another environment that sees this package and its tests, for a simulator."""

import os
from pathlib import Path

import dit4dit_benchmarks
import dit4dit_policy


def python_that_sees(python, folder):
    """A command in the folder: `python`, told where packages and tests are by itself."""
    packages = [Path(module.__file__).parents[1] for module in (dit4dit_benchmarks, dit4dit_policy)]
    places = os.pathsep.join(map(str, [Path(__file__).parent, *packages]))
    command = folder / 'python'
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{places}" exec "{python}" "$@"\n')
    command.chmod(0o755)
    return command
