"""Small files of what the app remembers: each with the number of its format, replaced as a whole.

What cannot be read is set aside under another name, so that it is told of once and nothing is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from lqtui.store.errors import StoreError
from lqtui.store.files import atomic_write, remove_abandoned
from lqtui.store.paths import make_directory
from lqtui.store.reading import read_at_most

_State = TypeVar("_State")

_LARGEST = 16 << 20
ASIDE = ".aside"
"""Ends the name of a file that could not be read."""


class StateRead(NamedTuple, Generic[_State]):
    """What a file says, None where there is nothing; and a sentence where it had to be set aside."""

    state: _State | None
    problem: str = ""


class _Version(msgspec.Struct):
    version: int


def read_state(path: Path, version: int, of: type[_State]) -> StateRead[_State]:
    """What is remembered in a file, if it is of this version; everything else is set aside."""
    remove_abandoned(path.parent)
    try:
        raw = read_at_most(path, _LARGEST + 1)
    except FileNotFoundError:
        return StateRead(None)
    except OSError as error:
        return StateRead(None, f"{path} cannot be read: {error.strerror}; lqtui begins anew")
    try:
        if len(raw) > _LARGEST:
            raise ValueError
        found = msgspec.json.decode(raw, type=_Version).version
        if found == version:
            return StateRead(msgspec.json.decode(raw, type=of, dec_hook=_decoded))
        which = "a newer" if found > version else "an older"
        why = f"was written by {which} lqtui (format {found}; this one knows {version})"
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        why = "is damaged"
    aside = path.with_name(path.name + ASIDE)
    with contextlib.suppress(OSError):
        path.replace(aside)
    return StateRead(None, f"{path} {why}; it is set aside as {aside.name}, and lqtui begins anew")


def write_state(path: Path, version: int, state: msgspec.Struct, *, durable: bool = True) -> None:
    """Remember something in a file, in place of what was there.

    Unless it is to be `durable`, it may be lost with a power cut; it can be written between two keys then.

    Raises:
        StoreError: the folder cannot be made or written to, the disk is full, or a name in it is no Unicode.
    """
    document = {"version": version, **msgspec.structs.asdict(state)}
    try:
        raw = msgspec.json.encode(document, enc_hook=_encoded)
    except UnicodeEncodeError:
        raise StoreError(
            f"{path} cannot be written, because a file name in it is not valid Unicode."
        ) from None
    make_directory(path.parent)
    with atomic_write(path, durable=durable) as temporary:
        temporary.write_bytes(raw)


def state_name(model: Path) -> str:
    """How files are called that are about a model: for a person, and different for each path."""
    return f"{model.stem[:60]}-{hashlib.sha256(os.fsencode(model)).hexdigest()[:12]}"


def _encoded(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be remembered")


def _decoded(kind: type, value: Any) -> Any:
    if issubclass(kind, Path) and isinstance(value, str):
        return Path(value)
    raise ValueError(f"no {kind.__name__}")
