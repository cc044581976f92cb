"""The command `g1`: each package adds its commands by an entry point of the group `g1.commands`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from g1_data.disk import explained
from g1_ros.starting import prepare

USAGE = """usage: g1 COMMAND ...

  launch FILE [name:=value ...]    start a system
  launch FILE --show-args          the arguments it takes
  run PACKAGE EXECUTABLE           one node
  check                            is everything ready for the arms to move?
  status                           how the running system and its recording are
  console                          a page in the browser that does the same
  arm | disarm | estop | reset     ask the control of a running robot, and wait
  give_back                        the arms, from an operator to the policy
  recorder start | save | ...      an episode, without a headset
  grippers [--calibrate]           angles of the grippers; their calibration
  camera overlay                   the camera's picture over the simulated one
  bench [PART ...]                 how fast the suite is on this computer
  demo                             run a task in simulation and write a report
  record-demo                      record a scripted operator in simulation
  dagger                           train a policy on help it gets in simulation
  faults                           inject every fault, time the reactions
  expert TASK                      record scripted demonstrations in simulation
  dataset                          look at, check and convert datasets
  dataset browse DATASET           judge and cut its episodes, in a page
  dataset replay DATASET EPISODE   play a recorded episode on a robot

g1 COMMAND --help tells all about one; policies: dit4dit --help.
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
        if name == 'dataset' and rest[:1] in (['replay'], ['browse']):
            name, *rest = rest
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
