"""What MuJoCo draws with; to be asked before its import, which fails where that is missing."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping

_BACKENDS = ('egl', 'glfw', 'osmesa')
_LIBRARIES = {'egl': 'libEGL.so.1', 'osmesa': 'libOSMesa.so.8'}
_PACKAGES = {'egl': 'libegl1 libgl1-mesa-dri', 'osmesa': 'libosmesa6'}


class RenderingError(OSError):
    """Nothing can be drawn on this computer; the message says what to install."""


def rendering_problem(
    environment: Mapping[str, str], is_there: Callable[[str], bool] | None = None
) -> str:
    """What is wrong with MUJOCO_GL and what to do, as a sentence; empty where nothing is.

    is_there: whether a shared library of that name can be loaded.
    """
    backend = environment.get('MUJOCO_GL', '').lower()
    shown = environment.get('DISPLAY') or environment.get('WAYLAND_DISPLAY')
    if backend and backend not in _BACKENDS:
        return (
            f'MUJOCO_GL is {backend}; expected one of {", ".join(_BACKENDS)}, egl needs no screen'
        )
    library = _LIBRARIES.get(backend)
    if library and not (is_there or _loads)(library):
        other = '' if backend == 'egl' else 'set MUJOCO_GL=egl, or '
        return (
            f'MUJOCO_GL is {backend}, and {library} is not installed here; {other}install it '
            f'with: sudo apt-get install {_PACKAGES[backend]}'
        )
    if backend == 'glfw' and not shown:
        return 'MUJOCO_GL is glfw, which needs a screen, and there is none; set MUJOCO_GL=egl'
    return ''


def check_rendering() -> None:
    """Draws nothing, but finds out whether something can be drawn. Raises RenderingError."""
    import mujoco

    try:
        mujoco.GLContext(16, 16).free()
    except Exception as error:  # PyOpenGL and MuJoCo's backends raise what they like
        raise no_device(error) from None


def no_device(error: Exception) -> RenderingError:
    """What to raise in place of the error with which a context of OpenGL could not be made."""
    reason = str(error).partition('. ')[0]
    return RenderingError(
        f'images cannot be drawn here ({reason}); install what draws without a screen: '
        f'sudo apt-get install {_PACKAGES["egl"]}'
    )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
