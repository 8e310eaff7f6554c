"""Look through a GGUF header before native code does: every length, count, offset and name that it claims.

Strangers make such files. What libggml would allocate, abort at, or read past the end for is refused here,
and what passes is still read in a child process alone. Source: `gguf_init_from_file_impl` in gguf.cpp.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from lqtui.llama.errors import EngineError
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.shape import ALIGNMENT
from lqtui.recipe.types import type_from_number
from lqtui.store.paths import is_special

_VERSIONS = (2, 3)
_LONGEST_HEADER = 256 << 20
"""Bytes; the greatest vocabularies take some 10 MiB."""
_MOST_TEXTS = 1 << 22
"""In all arrays; the greatest vocabularies have a quarter of a million tokens, and twice as many merges."""
_MOST_ENTRIES = 1 << 16
"""Of keys, and of tensors: a model of 100 blocks with 128 experts, each by itself, has 40,000."""
_LONGEST_KEY = (1 << 16) - 1
_LONGEST_NAME = 63
"""GGML_MAX_NAME, less the zero byte."""
_MOST_DIMENSIONS = 4
_UINT32, _STRING, _ARRAY = 4, 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by `enum gguf_type`."""
_NUMBER = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")


def check_header(path: Path) -> None:
    """Refuse a file whose header claims what it cannot hold, or what no reader of GGUF allows.

    Takes no more memory than the header has, whatever that claims. Raises EngineError, one sentence.
    """
    _check_file(path)
    with path.open("rb") as file:
        size = file.seek(0, 2)
        with mmap.mmap(file.fileno(), min(size, _LONGEST_HEADER), access=mmap.ACCESS_READ) as view:
            _Header(path, view, size).check()


def _check_file(path: Path) -> None:
    """Refuse what is no file, or no GGUF file."""
    try:
        if is_special(path):
            raise EngineError(f"{path} is not a file but a pipe or device; name a .gguf file")
        if path.is_dir():
            raise EngineError(f"{path} is a directory; name a .gguf file in it")
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise EngineError(f"{path} does not exist") from None
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}") from None
    if magic != b"GGUF":
        what = "is empty" if not magic else "is not a GGUF file (it does not begin with GGUF)"
        raise EngineError(f"{path} {what}")


class _Header:
    """Takes one thing after the other from what may be anything."""

    def __init__(self, path: Path, view: mmap.mmap, file_size: int) -> None:
        self._path = path
        self._view = view
        self._file_size = file_size
        self._at = len(b"GGUF")
        self._alignment = ALIGNMENT
        self._texts = 0

    def check(self) -> None:
        """Go through all of it."""
        version = self._number()
        if version not in _VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            if swapped in _VERSIONS:
                raise self._damaged("its numbers are for machines of the other byte order")
            raise self._damaged(f"its version is {version:,}, and 2 and 3 are known")
        n_tensors, n_keys = self._length(), self._length()
        if n_tensors > _MOST_ENTRIES or n_keys > _MOST_ENTRIES:
            raise self._damaged(f"it claims {n_tensors:,} tensors and {n_keys:,} keys")
        keys: set[bytes] = set()
        for _ in range(n_keys):
            self._check_key(keys)
        self._check_tensors(n_tensors)

    def _check_key(self, keys: set[bytes]) -> None:
        key = self._text(_LONGEST_KEY, "a key")
        if key in keys:
            raise self._damaged(f"it has the key {key.decode()} twice")
        keys.add(key)
        kind = self._number()
        if key == b"general.alignment":
            if kind != _UINT32:
                raise self._damaged("general.alignment is no number of 32 bits")
            (self._alignment,) = _NUMBER.unpack(self._bytes(4))
            if not self._alignment or self._alignment & self._alignment - 1:
                raise self._damaged(f"general.alignment is {self._alignment}, which is no power of two")
        elif kind == _STRING:
            self._bytes(self._length(), unread=True)
        elif kind == _ARRAY:
            self._check_array(key)
        elif kind in _SIZES:
            self._bytes(_SIZES[kind])
        else:
            raise self._damaged(f"the value of {key.decode()} is of an unknown type")

    def _check_array(self, key: bytes) -> None:
        kind, count = self._number(), self._length()
        if kind in _SIZES:
            self._bytes(count * _SIZES[kind], unread=True)
            return
        self._texts += count
        if kind != _STRING or self._texts > _MOST_TEXTS:
            raise self._damaged(f"{key.decode()} is a list of what no model has, or of too much")
        at, end, unpack = self._at, len(self._view) - _LENGTH.size, _LENGTH.unpack_from
        for _ in range(count):
            if at > end:
                raise self._damaged(f"{key.decode()} passes its end")
            at += _LENGTH.size + unpack(self._view, at)[0]
        self._at = at
        self._bytes(0)

    def _check_tensors(self, count: int) -> None:
        """Names that can be told apart, and data that lie one after the other and within the file."""
        names: set[bytes] = set()
        ends: list[tuple[bytes, int]] = []
        offset = 0
        for _ in range(count):
            name = self._text(_LONGEST_NAME, "a tensor's name")
            if name in names:
                raise EngineError(f"{self._path} holds {name.decode()} twice; download or copy it again")
            names.add(name)
            size = self._tensor_size(name)
            if _LENGTH.unpack(self._bytes(8))[0] != offset:
                raise self._damaged(f"{name.decode()} does not lie where the tensor before it ends")
            ends.append((name, offset + size))
            offset += -(-size // self._alignment) * self._alignment
        start = -(-self._at // self._alignment) * self._alignment
        for name, end in ends:
            if start + end > self._file_size:
                raise EngineError(
                    f"{self._path} is truncated: {name.decode()} ends at byte {start + end:,}, the file has "
                    f"{self._file_size:,}; download or copy it again"
                )

    def _tensor_size(self, name: bytes) -> int:
        """Bytes of a tensor's data, by the extents and the type that follow."""
        n_dims = self._number()
        if n_dims > _MOST_DIMENSIONS:
            raise self._damaged(f"{name.decode()} has {n_dims:,} dimensions")
        extents = [self._length() for _ in range(n_dims)]
        if 0 in extents:
            raise EngineError(
                f"{self._path} is damaged: tensor {name.decode()} holds no weights; download or copy it again"
            )
        try:
            tensor_type = type_from_number(self._number())
        except RecipeError as error:
            raise EngineError(f"{self._path}: {name.decode()}: {error}") from None
        columns, rows = extents[0] if extents else 1, 1
        for extent in extents[1:]:
            rows *= extent
        if columns % tensor_type.block_size or columns * rows >= 1 << 63:
            raise self._damaged(f"{name.decode()} has extents that are impossible at {tensor_type}")
        return rows * tensor_type.row_bytes(columns)

    def _number(self) -> int:
        return int(_NUMBER.unpack(self._bytes(_NUMBER.size))[0])

    def _length(self) -> int:
        return int(_LENGTH.unpack(self._bytes(_LENGTH.size))[0])

    def _text(self, longest: int, what: str) -> bytes:
        """A name: text that can be shown, and that ends nowhere before its end."""
        length = self._length()
        if not 0 < length <= longest:
            raise self._damaged(f"{what} has {length:,} bytes")
        raw = self._bytes(length)
        try:
            is_name = raw.decode("utf-8").isprintable()
        except UnicodeDecodeError:
            is_name = False
        if not is_name:
            raise self._damaged(f"{what} is not text")
        return raw

    def _bytes(self, count: int, *, unread: bool = False) -> bytes:
        """So many bytes from here on, or nothing where they are only passed over."""
        start = self._at
        self._at += count
        if self._at > len(self._view):
            raise self._damaged("it passes the end of the file")
        return b"" if unread else self._view[start : self._at]

    def _damaged(self, how: str) -> EngineError:
        return EngineError(
            f"{self._path} has a damaged or truncated GGUF header: {how}; download or copy it again"
        )
