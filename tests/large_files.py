"""A large file that takes no memory, and the memory that a transfer takes."""

import io
import os
import tracemalloc


class ZerosFile(io.RawIOBase):
    """A file of zeros that takes no memory."""

    def __init__(self, size):
        self.size = size
        self.position = 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self.position

    def seek(self, offset, whence=os.SEEK_SET):
        self.position = offset + (self.size if whence == os.SEEK_END else 0)
        return self.position

    def read(self, count=-1):
        count = min(count, self.size - self.position)
        self.position += count
        return bytes(count)


def peak_of(work):
    """The memory that Python allocates for some work, at its peak, beyond that before it."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
