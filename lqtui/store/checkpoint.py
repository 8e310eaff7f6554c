"""A model as it was trained and published: a folder with config.json and weights in safetensors files.

Only what has to be known before llama.cpp's converter is let at it is read here. Source of the format:
the safetensors README (8 bytes of length, a JSON header, the data).
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lqtui.store.errors import StoreError
from lqtui.store.paths import is_directory
from lqtui.store.reading import opened_at_once, read_at_most

_LENGTH = struct.Struct("<Q")
_LONGEST_HEADER = 100 << 20
"""What the format allows."""
_LARGEST_CONFIG = 64 << 20
_LFS_POINTER = b"version https://git-lfs"
_SNAPSHOT = re.compile(r"models--(?:[^/]+--)?(?P<name>[^/]+)/snapshots/[0-9a-f]+$")
_MOST_EXTENTS = 8
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_CONFIG = "config.json"
_INDEX = "model.safetensors.index.json"
_WITH_CODE = (_CONFIG, "tokenizer_config.json")


class _Entry(msgspec.Struct, frozen=True):
    """A tensor in a safetensors header."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


@dataclass(frozen=True)
class Checkpoint:
    """A whole model in a folder: its name, the number of its weights, and the type that most of them have.

    `code` names the Python class that comes with the model and that reading it would run; empty for none.
    """

    folder: Path
    name: str
    n_weights: int
    dtype: str
    code: str = ""

    def gguf_bytes(self, out_type: str) -> int:
        """About how large a GGUF file of it is: `f32`, or one of the 16-bit types."""
        return self.n_weights * (4 if out_type == "f32" else 2)


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder looks like a model in safetensors; nothing is read."""
    try:
        return (folder / _CONFIG).is_file() and any(folder.glob("*.safetensors"))
    except OSError:
        return False


def read_checkpoint(folder: Path) -> Checkpoint:
    """What a folder holds, all parts of its weights together.

    Raises:
        StoreError: it is no model in safetensors, or not all of one.
    """
    if not is_directory(folder):
        what = "is not a folder" if folder.exists() else "does not exist"
        raise StoreError(
            f"{folder} {what}; name the folder that holds config.json and the .safetensors files."
        )
    for name in (_CONFIG, "*.safetensors"):
        if not any(folder.glob(name)):
            what = "config.json" if name == _CONFIG else ".safetensors file"
            raise StoreError(f"{folder} has no {what}, so it is not a model that can be converted.")
    files = sorted(folder.glob("*.safetensors"))
    for name in sorted(_listed(folder) - {file.name for file in files}):
        raise StoreError(f"{folder} lacks {name}, a part of the model; download it again.")
    weights: Counter[str] = Counter()
    for file in files:
        for entry in _entries(file):
            weights[entry.dtype] += math.prod(entry.shape)
    if not weights.total():
        raise StoreError(f"The .safetensors files in {folder} hold no weights.")
    return Checkpoint(folder, _name(folder), weights.total(), weights.most_common(1)[0][0], _code(folder))


def _name(folder: Path) -> str:
    """What the model is called: in the Hub's cache, a folder's own name is that of a version."""
    absolute = folder.absolute()
    snapshot = _SNAPSHOT.search(absolute.as_posix())
    return snapshot["name"] if snapshot else absolute.name or "model"


def _listed(folder: Path) -> set[str]:
    """The names of all parts, where there is an index of them."""
    if not (folder / _INDEX).exists():
        return set()
    parts = _json(folder / _INDEX).get("weight_map")
    return {str(part) for part in parts.values()} if isinstance(parts, dict) else set()


def _code(folder: Path) -> str:
    for name in _WITH_CODE:
        if (folder / name).exists() and (named := _json(folder / name).get("auto_map")):
            first = next(iter(named.values())) if isinstance(named, dict) else named
            while isinstance(first, list) and first:
                first = next((each for each in first if each), "")
            return str(first)
    return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        raw = read_at_most(path, _LARGEST_CONFIG + 1)
        if len(raw) > _LARGEST_CONFIG:
            raise StoreError(f"{path} is too large to be what its name says; download it again.")
        return msgspec.json.decode(raw, type=dict[str, Any])
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
    except _UNREADABLE as error:
        raise StoreError(f"{path} is damaged ({error}); download it again.") from error


def _entries(path: Path) -> list[_Entry]:
    """The tensors in a safetensors file, which must be as long as they say."""
    damaged = StoreError(f"{path} is damaged or not a safetensors file; download it again.")
    try:
        with opened_at_once(path) as file:
            raw = file.read(_LENGTH.size)
            if raw and _LFS_POINTER.startswith(raw):
                raise StoreError(
                    f"{path} is only a pointer of Git LFS; fetch the file itself with: git lfs pull"
                )
            length = _LENGTH.unpack(raw)[0] if len(raw) == _LENGTH.size else 0
            if not 2 <= length <= _LONGEST_HEADER:
                raise damaged
            header = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
            header.pop("__metadata__", None)
            entries = [msgspec.json.decode(each, type=_Entry) for each in header.values()]
            if not all(map(_is_possible, entries)):
                raise damaged
            size = path.stat().st_size
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
    except _UNREADABLE:
        raise damaged from None
    ends = _LENGTH.size + length + max((entry.data_offsets[1] for entry in entries), default=0)
    if size < ends:
        raise StoreError(f"{path} is cut off: it has {size:,} of {ends:,} bytes; download it again.")
    return entries


def _is_possible(entry: _Entry) -> bool:
    """Whether a tensor could have such extents and such a place."""
    start, end = entry.data_offsets
    extents = len(entry.shape) <= _MOST_EXTENTS and all(0 <= extent < 1 << 48 for extent in entry.shape)
    return extents and 0 <= start <= end < 1 << 60
