"""The command `g1`: each package adds its commands by an entry point of the group `g1.commands`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from g1_data.disk import explained
from g1_ros.starting import prepare

USAGE = """usage: g1 COMMAND ...

  launch FILE [name:=value ...]   start a system                                (g1 launch --help)
  launch FILE --show-args         the arguments it takes
  run PACKAGE EXECUTABLE          one node                                         (g1 run --help)
  check                           is everything ready for the arms to move?     (g1 check --help)
  status                          how the running system and its recording are  (g1 status --help)
  console                         a page in the browser that shows and asks all this
                                                                               (g1 console --help)
  arm | disarm | estop | reset    ask the control of a running robot, and wait until it is done
                                                                                   (g1 arm --help)
  give_back                       the arms, from an operator to the policy    (g1 give_back --help)
  recorder start | save | ...     an episode, without a headset              (g1 recorder --help)
  grippers [--calibrate]          motor angles of the grippers; their calibration
                                                                              (g1 grippers --help)
  camera overlay                  the camera's picture over the simulated one   (g1 camera --help)
  bench [PART ...]                how fast the suite is on this computer        (g1 bench --help)
  demo                            run a task in simulation and write a report   (g1 demo --help)
  record-demo                     record a scripted operator in simulation (... --help)
  faults                          inject every fault, time the reactions        (g1 faults --help)
  expert TASK                     record scripted demonstrations in simulation  (g1 expert --help)
  dataset                         look at, check and convert datasets           (g1 dataset --help)
  dataset replay DATASET EPISODE  play a recorded episode on a robot     (g1 dataset replay --help)
"""

#: `g1 NAME` calls control/NAME.
SERVICES = ('arm', 'disarm', 'estop', 'reset', 'give_back')
_WITHOUT_ROS = ('-h', '--help', 'dataset', 'expert')


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; 2 when the command line is wrong."""
    name, *rest = arguments or sys.argv[1:] or ['--help']
    if name not in _WITHOUT_ROS:
        prepare()
    try:
        if name in SERVICES:
            from g1_console.services import main as ask_control

            return ask_control(name, rest)
        if [name, *rest[:1]] == ['dataset', 'replay']:
            name, rest = 'replay', rest[1:]
        for entry in entry_points(group='g1.commands', name=name):
            return int(entry.load()(rest))
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except OSError as error:
        print(f'error: {explained(error)}', file=sys.stderr)
        return 2
    if name in ('-h', '--help'):
        print(USAGE, end='')
        return 0
    print(f'error: no command {" ".join([name, *rest])!r}\n\n{USAGE}', end='', file=sys.stderr)
    return 2
