"""What a program does before it imports anything heavy: it is light itself, and loads no rclpy."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from ament_index_python.resources import get_resources

_MIDDLEWARE = 'RMW_IMPLEMENTATION'


def prepare() -> None:
    """Ctrl-C while the program is still loading is quiet; a middleware that is missing is said.

    rclpy would end the process at its import, with a text that names no remedy.
    """
    sys.excepthook = _except_hook
    _choose_log_folder()
    if problem := middleware_problem(os.environ.get(_MIDDLEWARE, '')):
        print(f'error: {problem}', file=sys.stderr)
        raise SystemExit(2)


def _choose_log_folder() -> None:
    """ROS ends a process that cannot write its log: then it goes to a folder for passing files."""
    home = os.environ.get('ROS_HOME') or Path('~/.ros').expanduser()
    folder = Path(os.environ.get('ROS_LOG_DIR') or Path(home, 'log'))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        os.environ['ROS_LOG_DIR'] = other = tempfile.mkdtemp(prefix='g1-log-')
        os.environ.setdefault('MPLCONFIGDIR', other)  # or Matplotlib says it again, in two lines
        print(f'warning: {folder} cannot be written to; logs go to {other}', file=sys.stderr)


def middleware_problem(wanted: str) -> str:
    """What is wrong with this value of RMW_IMPLEMENTATION and what to do, as a sentence."""
    installed = sorted(name for name in get_resources('rmw_typesupport') if name != _NONE)
    if not wanted or wanted in installed:
        return ''
    return (
        f'{_MIDDLEWARE} is {wanted}, which is not installed here; there is: '
        f'{", ".join(installed) or "none"}; unset {_MIDDLEWARE}, or install it with: '
        f'sudo apt-get install ros-jazzy-{wanted.replace("_", "-")}'
    )


_NONE = 'rmw_implementation'  # chooses among them, and is none


def _except_hook(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
