"""What is kept of a base model between jobs: hidden states before its head, and which restarts are proven.

Everything here can be computed anew, so what is missing, damaged or of another engine is simply not there.
From the hidden states before the head, exact and 50 to 100 times smaller than the logits, the base's logits
come back bit by bit for the price of the head alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from lqtui.store.errors import StoreError
from lqtui.store.files import atomic_write

_CAP_BYTES = 512 << 20
"""All hidden states of one model by one engine, placed on devices in one way.

Those go first that were not used for longest. What this process has used stays, and more is not kept then: it
began with the first chunks of a text, and so will the next one.
"""
_BEGAN = time.time()


class _Kept(msgspec.Struct, frozen=True):
    """The hidden states of a chunk, one piece for each decode, with a digest of them."""

    digest: bytes
    pieces: list[bytes]


class BaseStates:
    """The hidden states and proofs of one model under one folder, for one way to place it on devices."""

    def __init__(self, folder: Path, placement: str) -> None:
        name = hashlib.sha256(placement.encode()).hexdigest()[:16]
        self._folder = folder / name

    def load(self, chunk: NDArray[np.int32]) -> list[NDArray[np.float32]] | None:
        """The hidden states of a chunk's tokens, shape (n_ctx,); None where they are not kept."""
        try:
            kept = msgspec.msgpack.decode(self._path(chunk).read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError):
            return None
        if kept.digest != _digest(kept.pieces) or any(len(piece) % 4 for piece in kept.pieces):
            return None
        with contextlib.suppress(OSError):
            os.utime(self._path(chunk))  # used
        return [np.frombuffer(piece, np.float32) for piece in kept.pieces]

    def has(self, chunk: NDArray[np.int32]) -> bool:
        """Whether hidden states are kept of a chunk's tokens; they may turn out to be damaged."""
        return self._path(chunk).exists()

    def save(self, chunk: NDArray[np.int32], states: list[NDArray[np.float32]]) -> None:
        """Keep a chunk's hidden states; where there is no room for them they are computed again next time."""
        pieces = [state.tobytes() for state in states]
        with contextlib.suppress(OSError, StoreError):
            if not self._make_room(sum(map(len, pieces))):
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path(chunk)) as temporary:
                temporary.write_bytes(msgspec.msgpack.encode(_Kept(_digest(pieces), pieces)))

    def load_proofs(self) -> dict[int, bool]:
        """Which restarts were tried in earlier jobs: the depth, and whether it gave the same logits."""
        try:
            return msgspec.json.decode((self._folder / "restarts.json").read_bytes(), type=dict[int, bool])
        except (OSError, msgspec.DecodeError):
            return {}

    def save_proofs(self, proofs: dict[int, bool]) -> None:
        """Keep which restarts were tried."""
        with contextlib.suppress(OSError, StoreError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._folder / "restarts.json") as temporary:
                temporary.write_bytes(msgspec.json.encode(proofs))

    def _path(self, chunk: NDArray[np.int32]) -> Path:
        return self._folder / f"{hashlib.sha256(chunk.tobytes()).hexdigest()[:32]}.states"

    def _make_room(self, needed: int) -> bool:
        """Whether so many bytes more are within the cap, once what was not used for longest is removed."""
        files = [(path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("*.states")]
        if needed + sum(size for used, size, _ in files if used >= _BEGAN) > _CAP_BYTES:
            return False
        total = needed + sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total > _CAP_BYTES:
                path.unlink(missing_ok=True)
                total -= size
        return True


def _digest(pieces: list[bytes]) -> bytes:
    return hashlib.sha256(b"".join(pieces)).digest()
