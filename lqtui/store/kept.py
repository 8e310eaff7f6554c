"""Small files of what can be found anew, each under a key; what is damaged or foreign is not there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec

from lqtui.store.files import atomic_write, remove_abandoned
from lqtui.store.paths import make_directory
from lqtui.store.reading import read_at_most

_Value = TypeVar("_Value")
_LARGEST = 256 << 20
"""What is larger is cut off, and so is not there."""


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    version: int
    key: msgspec.Raw
    digest: bytes
    """SHA-256 of what follows."""
    packed: bytes


def load_kept(
    folder: Path, suffix: str, version: int, key: msgspec.Struct, of: type[_Value]
) -> _Value | None:
    """What is kept in a folder under a key; None where there is nothing that can be trusted."""
    remove_abandoned(folder)
    packed_key = msgspec.msgpack.encode(key)
    try:
        kept = msgspec.msgpack.decode(_read(folder, suffix, packed_key), type=_Kept)
        if (kept.version, bytes(kept.key)) != (version, packed_key) or kept.digest != _digest(kept.packed):
            return None
        return msgspec.msgpack.decode(kept.packed, type=of)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def save_kept(folder: Path, suffix: str, version: int, key: msgspec.Struct, value: msgspec.Struct) -> None:
    """Keep something under a key, in place of what was kept there.

    Raises:
        StoreError: the folder cannot be made or written to, or the disk is full.
    """
    make_directory(folder)
    packed_key, packed = msgspec.msgpack.encode(key), msgspec.msgpack.encode(value)
    kept = _Kept(version, msgspec.Raw(packed_key), _digest(packed), packed)
    with atomic_write(_path(folder, suffix, packed_key)) as temporary:
        temporary.write_bytes(msgspec.msgpack.encode(kept))


def _read(folder: Path, suffix: str, packed_key: bytes) -> bytes:
    return read_at_most(_path(folder, suffix, packed_key), _LARGEST)


def _path(folder: Path, suffix: str, packed_key: bytes) -> Path:
    return folder / f"{hashlib.sha256(packed_key).hexdigest()[:32]}.{suffix}"


def _digest(packed: bytes) -> bytes:
    return hashlib.sha256(packed).digest()
