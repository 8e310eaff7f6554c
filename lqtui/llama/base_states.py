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
from lqtui.store.reading import read_at_most

_CAP_BYTES = 512 << 20
"""All hidden states of one model by one engine, placed on devices in one way.

Those go first that were not used for longest. What this process has used stays, and more is not kept then: it
began with the first chunks of a text, and so will the next one.
"""
_BEGAN = time.time()
_CLOCK_SECONDS = 60.0
"""So much may the clocks of a disk and a processor differ."""
_PROOFS = "restarts.json"


class _Kept(msgspec.Struct, frozen=True):
    """A chunk's hidden states, a piece for each decode, with a digest of them and of whose they are."""

    digest: bytes
    pieces: list[bytes]


class _Proofs(msgspec.Struct, frozen=True):
    """Which restarts gave the same logits, with a digest of that and of which model's they are."""

    digest: str
    proofs: dict[int, bool]


class BaseStates:
    """The hidden states and proofs of one model under one folder, for one way to place it on devices."""

    def __init__(self, folder: Path, placement: str) -> None:
        name = hashlib.sha256(placement.encode()).hexdigest()[:16]
        self._folder = folder / name

    def load(self, chunk: NDArray[np.int32]) -> list[NDArray[np.float32]] | None:
        """The hidden states of a chunk's tokens, shape (n_ctx,); None where they are not kept."""
        try:
            kept = msgspec.msgpack.decode(read_at_most(self._path(chunk), _CAP_BYTES), type=_Kept)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if kept.digest != _digest(self._path(chunk), kept.pieces) or any(
            len(piece) % 4 for piece in kept.pieces
        ):
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
                kept = _Kept(_digest(self._path(chunk), pieces), pieces)
                temporary.write_bytes(msgspec.msgpack.encode(kept))

    def load_proofs(self) -> dict[int, bool]:
        """Which restarts were tried in earlier jobs: the depth, and whether it gave the same logits."""
        path = self._folder / _PROOFS
        try:
            kept = msgspec.json.decode(read_at_most(path, _CAP_BYTES), type=_Proofs)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return kept.proofs if kept.digest == _digest_of_proofs(path, kept.proofs) else {}

    def save_proofs(self, proofs: dict[int, bool]) -> None:
        """Keep which restarts were tried."""
        with contextlib.suppress(OSError, StoreError):
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / _PROOFS
            with atomic_write(path) as temporary:
                temporary.write_bytes(msgspec.json.encode(_Proofs(_digest_of_proofs(path, proofs), proofs)))

    def _path(self, chunk: NDArray[np.int32]) -> Path:
        return self._folder / f"{hashlib.sha256(chunk.tobytes()).hexdigest()[:32]}.states"

    def _make_room(self, needed: int) -> bool:
        """Whether so many bytes more are within the cap, once what was not used for longest is removed."""
        files = [(_used(path), path.stat().st_size, path) for path in self._folder.glob("*.states")]
        if needed + sum(size for used, size, _ in files if used >= _BEGAN) > _CAP_BYTES:
            return False
        total = needed + sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total > _CAP_BYTES:
                path.unlink(missing_ok=True)
                total -= size
        return True


def _used(path: Path) -> float:
    """When a file was used; of one that a clock gone wrong has stamped with a time to come, long ago."""
    used = path.stat().st_mtime
    return used if used <= time.time() + _CLOCK_SECONDS else 0.0


def _digest(path: Path, pieces: list[bytes]) -> bytes:
    """A digest of hidden states and of where they lie, as another model's lie elsewhere."""
    lengths = " ".join(str(len(piece)) for piece in pieces)
    return hashlib.sha256(b"".join([f"{_identity(path)} {lengths} ".encode(), *pieces])).digest()


def _digest_of_proofs(path: Path, proofs: dict[int, bool]) -> str:
    return hashlib.sha256(f"{_identity(path)} {sorted(proofs.items())}".encode()).hexdigest()


def _identity(path: Path) -> str:
    """What a file is of, by where it lies: model, engine, placement on devices, and chunk."""
    return "/".join(path.parts[-5:])
