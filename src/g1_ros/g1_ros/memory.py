"""What a process keeps of memory that it has freed."""

import ctypes
import gc

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of mallopt(3)
_libc = ctypes.CDLL(None)


def return_large_buffers(size: int = 256 * 1024) -> None:
    """Buffers of `size` [B] or more, such as images, go back to the system when they are freed.

    By default glibc keeps them from the first one freed on, in pools of each thread, which then
    grow for hours where one thread receives images and another one frees them.
    """
    _libc.mallopt(_MMAP_THRESHOLD, size)


def return_freed() -> None:
    """Gives back what nobody refers to from outside, and what lies free between buffers in use.

    Threads and encoders that come and go leave both behind; Python looks for such circles the less
    often the longer a program runs. Some hundredths of a second's work.
    """
    gc.collect()
    _libc.malloc_trim(0)
