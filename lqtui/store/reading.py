"""Reading files that may be anything: a pipe that never ends, a device, gigabytes, no file at all."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path


def opened_at_once(path: Path) -> io.BufferedReader:
    """Open a file for reading; what is no file is refused, and no pipe is waited for. Raises OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError:  # a zero byte, or letters that this system's names cannot have
        raise OSError(errno.EINVAL, "no file can have such a name", str(path)) from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return io.BufferedReader(io.FileIO(descriptor))
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is not a file but a pipe or device", str(path))


def read_at_most(path: Path, n_bytes: int) -> bytes:
    """Return a file's first bytes, opened in the same way. Raises OSError."""
    with opened_at_once(path) as file:
        return file.read(n_bytes)
