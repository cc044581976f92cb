"""What a process keeps of memory that it has freed."""

import ctypes

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of mallopt(3)


def return_large_buffers(size: int = 256 * 1024) -> None:
    """Buffers of `size` [B] or more, such as images, go back to the system when they are freed.

    By default glibc keeps them from the first one freed on, in pools of each thread, which then
    grow for hours where one thread receives images and another one frees them.
    """
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, size)
