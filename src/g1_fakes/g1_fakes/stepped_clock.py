"""A system clock that is set, for some processes only: as NTP does after boot, but on request.

    with SteppedClock() as clock:
        process = subprocess.Popen(words, env={**os.environ, **clock.variables})
        clock.step(-20.0)       # from now on that process lives 20 s earlier

The processes preload a small library, compiled when it is first needed, between them and the C
library. Their steady clock stays as it is, as the kernel's does.
"""

from __future__ import annotations

import mmap
import struct
import subprocess
import tempfile
from pathlib import Path

_SOURCE = Path(__file__).with_suffix('.c')


class SteppedClock:
    """The shift [s] of the system clock of all processes started with `variables`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix='stepped_clock_')
        library, file = (Path(self._folder.name) / name for name in ('clock.so', 'offset'))
        subprocess.run(
            ['cc', '-shared', '-fPIC', '-O2', '-o', library, _SOURCE, '-ldl', '-lpthread'],
            check=True,
        )
        file.write_bytes(bytes(mmap.PAGESIZE))
        with file.open('r+b') as opened:
            self._page = mmap.mmap(opened.fileno(), mmap.PAGESIZE)
        self.offset = 0.0
        #: Environment of the processes whose clock this is.
        self.variables = {'LD_PRELOAD': str(library), 'STEPPED_CLOCK': str(file)}

    def step(self, seconds: float) -> None:
        """Sets the clock by so much forward, or back where it is negative."""
        self.offset += seconds
        self._page[:8] = struct.pack('=q', round(self.offset * 1e9))

    def close(self) -> None:
        """Processes that still run keep the clock as it is."""
        self._page.close()
        self._folder.cleanup()

    def __enter__(self) -> SteppedClock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
