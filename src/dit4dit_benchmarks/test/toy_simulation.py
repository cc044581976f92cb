"""A simulation for test_process.py, run as `python -m toy_simulation FD`."""

import os
import sys

import numpy as np

from dit4dit_benchmarks.process import answer


class ToySimulation:
    """Doubles, refuses and dies."""

    def double(self, values):
        return {'values': 2 * values, 'path': os.environ.get('PYTHONPATH', '')}

    def refuse(self):
        raise ValueError('expected something else')

    def die(self):
        print('it hurts')
        np.zeros(1)[2]


if __name__ == '__main__':
    answer(ToySimulation(), int(sys.argv[1]))
