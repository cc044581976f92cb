"""Documents that are made from the code are what the code says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_parameters_in_the_documents_are_those_of_the_nodes():
    done = subprocess.run(
        [sys.executable, str(ROOT / 'scripts' / 'parameter_docs.py'), '--check'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
