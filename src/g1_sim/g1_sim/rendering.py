"""What MuJoCo draws with; to be asked before its import, which fails where that is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ctypes.util import find_library

_BACKENDS = ('egl', 'glfw', 'osmesa')


def rendering_problem(
    environment: Mapping[str, str], find: Callable[[str], str | None] = find_library
) -> str:
    """What is wrong with MUJOCO_GL and what to do, as a sentence; empty where nothing is."""
    backend = environment.get('MUJOCO_GL', '').lower()
    shown = environment.get('DISPLAY') or environment.get('WAYLAND_DISPLAY')
    if backend and backend not in _BACKENDS:
        return (
            f'MUJOCO_GL is {backend}; expected one of {", ".join(_BACKENDS)}, egl needs no screen'
        )
    if backend == 'osmesa' and not find('OSMesa'):
        return (
            'MUJOCO_GL is osmesa, which is not installed here; set MUJOCO_GL=egl, or install it '
            'with: sudo apt-get install libosmesa6'
        )
    if backend == 'glfw' and not shown:
        return 'MUJOCO_GL is glfw, which needs a screen, and there is none; set MUJOCO_GL=egl'
    return ''
