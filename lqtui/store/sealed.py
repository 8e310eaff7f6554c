"""Files that tell when they are damaged, or another's: each ends with a digest of itself and of what it is.

A size alone tells neither of a flipped bit, nor of a file that a stray copy has put in the place of another.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from lqtui.store.reading import opened_at_once

SEAL_BYTES = 32
_PIECE = 1 << 20
_known_whole: set[tuple[Path, str, tuple[int, ...]]] = set()
"""Files that this process has read, as they were then."""


class SealedFile:
    """Writes a file from its beginning to its `seal`."""

    def __init__(self, file: BinaryIO, of: str) -> None:
        """Begin to write; `of` says what the file is, and is not in it."""
        self._file = file
        self._digest = hashlib.sha256(os.fsencode(of))

    def write(self, data: bytes | memoryview) -> int:
        """Append some bytes, and return how many."""
        self._digest.update(data)
        return self._file.write(data)

    def seal(self) -> None:
        """End the file."""
        self._file.write(self._digest.digest())


def is_sealed(path: Path, n_bytes: int, of: str) -> bool:
    """Whether a file holds so many bytes before its seal, and is what it was when it was sealed as `of`.

    It is read once in the life of this process, as long as it does not change.
    """
    try:
        with opened_at_once(path) as file:
            status = os.fstat(file.fileno())
            if status.st_size != n_bytes + SEAL_BYTES:
                return False
            as_it_is = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            if (path, of, as_it_is) in _known_whole:
                return True
            digest, left = hashlib.sha256(os.fsencode(of)), n_bytes
            while left and (piece := file.read(min(left, _PIECE))):
                digest.update(piece)
                left -= len(piece)
            if left or file.read() != digest.digest():
                return False
    except OSError:
        return False
    _known_whole.add((path, of, as_it_is))
    return True
