"""Sixteen small plots, commanded over measured, as one picture (SVG) for the browser."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from g1_description import Robot

Array = NDArray[np.float64]

_SECONDS = 10.0
_WIDTH, _HEIGHT = 150, 46  # of a plot, in units of the picture
_LEAST_SPAN = {'rad': 0.2, 'm': 0.01}  # that a plot covers, or noise would fill it

_STYLE = (
    '<style>.jp{display:grid;grid-template-columns:repeat(4,1fr);gap:2px 6px;padding:4px 8px}'
    '.jp div{font:10px system-ui;color:#666;white-space:nowrap;overflow:hidden}'
    '.jp b{float:right;font-weight:600;color:#222}'
    '.jp svg{display:block;width:100%;height:auto;background:#f4f6f8;border-radius:3px}'
    '.jp polyline{fill:none;stroke-width:1.6;vector-effect:non-scaling-stroke}'
    '.jp .m{stroke:#1971c2}.jp .c{stroke:#f08c00}'
    '@media (max-width:420px){.jp{grid-template-columns:repeat(2,1fr)}}</style>'
)
_CURSOR = (
    '<style>.jp b{display:none}.jp div{position:relative}.jp div::after{content:"";'
    'position:absolute;top:13px;bottom:0;left:var(--at);width:1px;background:#e03131}</style>'
)


class JointPlots:
    """What the joints of a chunk did, over the last ten seconds."""

    def __init__(self, robot: Robot, rate: float) -> None:
        """rate: of `add` [Hz]."""
        grippers = len(robot.gripper_joints)
        self._names = [_short(name) for name in robot.action_joints]
        self._units = ['rad'] * (len(self._names) - grippers) + ['m'] * grippers
        self._rows: deque[tuple[Array, Array]] = deque(maxlen=round(_SECONDS * rate))

    def clear(self) -> None:
        """Forgets everything."""
        self._rows.clear()

    def add(self, measured: Array, commanded: Array) -> None:
        """(16,) each [rad, m], NaN where unknown."""
        self._rows.append((measured.copy(), commanded.copy()))

    def html(self) -> str:
        """All plots with their names and newest values."""
        if not self._rows:
            return '<div style="padding:8px">no joint states yet</div>'
        measured = np.array([row[0] for row in self._rows])
        commanded = np.array([row[1] for row in self._rows])
        longest = self._rows.maxlen or 1
        plots = plots_html(self._names, self._units, measured, commanded, longest)
        return f'{_legend(", the last 10 s")}{plots}'


def episode_plots_html(names: Sequence[str], measured: Array, commanded: Array) -> str:
    """A whole episode, (T, J) each; a line is at the share of it that CSS calls --at."""
    units = ['m' if 'gripper' in name else 'rad' for name in names]
    every = max(1, len(measured) // _WIDTH)
    plots = plots_html(
        [_short(name) for name in names],
        units,
        measured[::every],
        commanded[::every],
        len(measured[::every]),
    )
    return f'{_CURSOR}{_legend("")}{plots}'


def plots_html(
    names: Sequence[str], units: Sequence[str], measured: Array, commanded: Array, length: int
) -> str:
    """(T, J) each [rad, m], NaN where unknown; a plot has room for `length` rows."""
    plots = (
        _plot(name, unit, measured[:, k], commanded[:, k], length)
        for k, (name, unit) in enumerate(zip(names, units, strict=True))
    )
    return f'{_STYLE}<div class="jp">{"".join(plots)}</div>'


def _legend(of: str) -> str:
    return (
        '<div style="font:11px system-ui;padding:2px 8px;color:#444">'
        '<span style="color:#f08c00">&#9644;</span> commanded '
        f'<span style="color:#1971c2">&#9644;</span> measured{of}</div>'
    )


def _short(joint: str) -> str:
    """'left_elbow_joint' as 'L elbow', for it has little room."""
    side, _, rest = joint.removesuffix('_joint').partition('_')
    return f'{side[:1].upper()} {rest.replace("_", " ")}'


def _plot(name: str, unit: str, measured: Array, commanded: Array, length: int) -> str:
    both = np.concatenate((measured, commanded))
    known = both[np.isfinite(both)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    span = max(high - low, _LEAST_SPAN[unit])
    start = (low + high - span) / 2.0
    x = np.linspace(0.0, _WIDTH, length)[-len(measured) :]
    lines = ''.join(
        f'<polyline class="{kind}" points="{points}"/>'
        for kind, values in (('m', measured), ('c', commanded))
        for points in _points(x, _pixels(values, start, span))
    )
    newest = measured[-1]
    value = f'{newest:.2f}' if unit == 'rad' else f'{newest * 1e3:.0f} mm'
    label = value if np.isfinite(newest) else ''
    return f'<div><b>{label}</b>{name}<svg viewBox="0 0 {_WIDTH} {_HEIGHT}">{lines}</svg></div>'


def _pixels(values: Array, start: float, span: float) -> Array:
    return np.asarray(2.0 + (_HEIGHT - 4.0) * (1.0 - (values - start) / span), np.float64)


def _points(x: Array, y: Array) -> Iterator[str]:
    """The points of a line; one that is unknown all along has none, a gap is bridged."""
    known = np.isfinite(y)
    if known.any():
        pairs = np.stack((x[known], y[known]), axis=1).round().astype(int).ravel().tolist()
        yield ' '.join(map(str, pairs))
