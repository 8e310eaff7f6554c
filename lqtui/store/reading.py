"""Reading small files that may be anything: a pipe that never ends, a device, gigabytes, no file at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_at_most(path: Path, n_bytes: int) -> bytes:
    """Return a file's first bytes; nothing waits for what a pipe may say. Raises OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError:  # a zero byte, or letters that this system's names cannot have
        raise OSError(errno.EINVAL, "no file can have such a name", str(path)) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a file but a pipe or device", str(path))
        read = bytearray()
        while len(read) < n_bytes and (piece := os.read(descriptor, n_bytes - len(read))):
            read += piece
        return bytes(read)
    finally:
        os.close(descriptor)
