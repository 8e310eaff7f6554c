"""Importance matrix files: llama-imatrix's GGUF, written and read, and its older .dat, read.

Strangers publish such files, so lengths and counts are checked before they are used, and nothing native reads
them. The weights are what llama-quantize makes of a file, value for value. Sources: imatrix.cpp,
imatrix-loader.cpp and `load_imatrix` in quantize.cpp of llama.cpp.
"""

from __future__ import annotations

import hashlib
import os
import struct
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lqtui.recipe.imatrix import Imatrix
from lqtui.store.errors import StoreError
from lqtui.store.files import atomic_write

if TYPE_CHECKING:  # it takes a tenth of a second to load, and only values need it
    import numpy as np
    from numpy.typing import NDArray

_ALIGNMENT = 32
_PIECE = 8 << 20
_AHEAD = 1 << 12
"""Bytes of a header that are read at a time."""
_LONGEST_NAME = 63
"""GGML_MAX_NAME, less the zero byte."""
_MOST_BYTES = 8 << 30
"""Of a file; those of the largest models have about one GiB."""
_MOST_ENTRIES = 1 << 17
"""Of a header's keys, of its tensors, and of the texts in a list."""
_MOST_VALUES = 1 << 24
"""Of a tensor: columns times experts, which models have not a tenth of."""
_LONGEST_TEXT = 1 << 16
_SUMS, _COUNTS = ".in_sum2", ".counts"
_F32 = 0
_UINT32, _STRING, _ARRAY = 4, 8, 9
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by `enum gguf_type`."""
_NO_MATRIX = "is no importance matrix: it is neither llama-imatrix's GGUF nor its older .dat format"


class Sums(NamedTuple):
    """Sums of squared inputs of a weight, shape (matrices, columns), and how many inputs they are of.

    Counts have shape (matrices,) for experts, and (1,) for all other weights.
    """

    squares: NDArray[np.float32]
    counts: NDArray[np.int64]


class _Entry(NamedTuple):
    """Where an entry's values lie: sums at `sums`, counts at `counts`, each `n` 32-bit numbers."""

    sums: int
    n_sums: int
    counts: int
    n_counts: int


@dataclass(frozen=True)
class ImatrixFile:
    """An opened file; `chunk_size` is 0 in the older format, whose sums are means times the count."""

    path: Path
    is_legacy: bool
    datasets: tuple[str, ...]
    chunks: int
    chunk_size: int
    _entries: Mapping[str, _Entry]
    _contents: _Contents

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors that it tells of."""
        return tuple(self._entries)

    @property
    def sizes(self) -> dict[str, int]:
        """The number of values of each entry."""
        return {name: entry.n_sums for name, entry in self._entries.items()}

    def sums(self, name: str) -> Sums:
        """What was summed of a tensor; StoreError where numbers are undefined, infinite or negative."""
        import numpy as np

        entry = self._entries[name]
        squares = np.frombuffer(self._contents.read(entry.sums, 4 * entry.n_sums), "<f4").astype(np.float32)
        raw_counts = self._contents.read(entry.counts, 4 * entry.n_counts)
        counts = np.frombuffer(raw_counts, "<i4" if self.is_legacy else "<f4").astype(np.float64)
        if not np.isfinite(squares).all() or not np.isfinite(counts).all():
            raise StoreError(f"{self.path} holds infinite or undefined values for {name}; make it again")
        if squares.min() < 0 or counts.min() < 0 or counts.max() > 2**53:
            raise StoreError(f"{self.path} holds impossible sums or counts for {name}; make it again")
        return Sums(squares.reshape(entry.n_counts, -1), np.floor(counts + 0.5).astype(np.int64))

    def weights(self, name: str) -> NDArray[np.float32]:
        """What llama-quantize weighs a tensor's errors by, one value for each column of each matrix.

        Where an expert was never chosen, all of its columns weigh the same.
        """
        import numpy as np

        squares, counts = self.sums(name)
        divisors = counts.astype(np.float32)[:, None]
        if self.is_legacy:
            return (squares / divisors if counts[0] else squares).reshape(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(divisors > 0, squares / divisors, np.float32(1)).reshape(-1)

    def describe(self) -> Imatrix:
        """What recipes depend on, every value looked at; StoreError where one is no importance."""
        import numpy as np

        for name in self._entries:
            if not np.isfinite(self.weights(name)).all():
                raise StoreError(f"{self.path} holds infinite or undefined values for {name}; make it again")
        dataset = self.datasets[0] if self.datasets else None
        return Imatrix(str(self.path), self._contents.sha256(), self.sizes, dataset, self.chunks)


def open_imatrix(path: Path, sha256: str | None = None) -> ImatrixFile:
    """Open an importance matrix of either format, its layout checked.

    Args:
        path: The file.
        sha256: What it must be, if that is known.

    Raises:
        StoreError: It cannot be read, is damaged, is something else, or has another SHA-256.
    """
    contents = _open(path)
    if sha256 is not None and contents.sha256() != sha256:
        raise StoreError(
            f"the importance matrix {path} has changed since it was chosen: its SHA-256 is no longer "
            f"{sha256[:12]}…; choose it again, or put the old file back"
        )
    reader = _Reader(path, contents)
    is_gguf = contents.size >= 4 and contents.read(0, 4) == b"GGUF"
    return _read_gguf(reader) if is_gguf else _read_legacy(reader)


def write_imatrix(
    path: Path, sums: Mapping[str, Sums], datasets: Sequence[str], chunks: int, chunk_size: int
) -> None:
    """Write an importance matrix as llama-imatrix does, byte for byte where the sums are the same.

    Tensors with names too long for what a file calls their entries are left out. Raises StoreError.
    """
    import numpy as np

    names = sorted(
        (name for name in sums if len(name.encode()) + len(_SUMS) <= _LONGEST_NAME), key=str.encode
    )
    header = [
        struct.pack("<4sIqq", b"GGUF", 3, 2 * len(names), 4),
        *(_string("general.type"), struct.pack("<I", _STRING), _string("imatrix")),
        *(_string("imatrix.datasets"), struct.pack("<IIQ", _ARRAY, _STRING, len(datasets))),
        *map(_string, datasets),
        *(_string("imatrix.chunk_count"), struct.pack("<II", _UINT32, chunks)),
        *(_string("imatrix.chunk_size"), struct.pack("<II", _UINT32, chunk_size)),
    ]
    data: list[bytes] = []
    offset = 0
    for name in names:
        squares, counts = sums[name]
        columns, matrices = squares.size // len(counts), len(counts)
        for suffix, width, values in ((_SUMS, columns, squares), (_COUNTS, 1, counts)):
            extents = (width,) if matrices == 1 else (width, matrices)
            info = struct.pack(f"<I{len(extents)}qIQ", len(extents), *extents, _F32, offset)
            header += [_string(name + suffix), info]
            raw = values.astype("<f4").tobytes()
            data += [raw, bytes(-len(raw) % _ALIGNMENT)]
            offset += len(raw) + len(data[-1])
    top = b"".join(header)
    if not np.all([np.isfinite(sums[name].squares).all() for name in names]):
        raise StoreError(f"{path} was not written: the importances are infinite or undefined")
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(top + bytes(-len(top) % _ALIGNMENT))
        file.writelines(data)


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


class _Contents:
    """What an open file holds, even when another is put in its place.

    It is read and never mapped: the app looks into files that may be cut short at any moment.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        self.size = os.fstat(descriptor).st_size

    def read(self, at: int, count: int) -> bytes:
        """So many bytes from a place on; StoreError where the file has been cut short."""
        os.lseek(self._descriptor, at, os.SEEK_SET)
        read = b""
        while len(read) < count and (piece := os.read(self._descriptor, count - len(read))):
            read = read + piece if read else piece
        if len(read) < count:
            raise StoreError(f"the importance matrix {self._path} was cut short while it was read")
        return read

    def sha256(self) -> str:
        """The digest of all of it."""
        digest = hashlib.sha256()
        for start in range(0, self.size, _PIECE):
            digest.update(self.read(start, min(_PIECE, self.size - start)))
        return digest.hexdigest()


def _open(path: Path) -> _Contents:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise StoreError(f"the importance matrix {path} is not a file but a pipe or device")
        if path.is_dir():
            raise StoreError(f"the importance matrix {path} is a folder; name a file in it")
        contents = _Contents(path, os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)))
    except FileNotFoundError:
        raise StoreError(f"the importance matrix {path} does not exist") from None
    except OSError as error:
        raise StoreError(f"the importance matrix {path} cannot be read: {error.strerror}") from None
    if not contents.size:
        raise StoreError(f"the importance matrix {path} is empty")
    if contents.size > _MOST_BYTES:
        raise StoreError(
            f"the importance matrix {path} has {contents.size:,} bytes, and no model's has a tenth of that; "
            f"name another file"
        )
    return contents


class _Reader:
    """Takes one thing after the other from a file that may be anything; StoreError where it ends too soon."""

    def __init__(self, path: Path, contents: _Contents) -> None:
        self.path = path
        self.contents = contents
        self.size = contents.size
        self.at = 0
        self._ahead = b""
        self._ahead_from = 0

    def take(self, form: str) -> int:
        """A little-endian number."""
        return int(struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))[0])

    def bytes(self, count: int) -> bytes:
        """So many bytes."""
        start = self.at
        self.skip(count)
        if not self._ahead_from <= start <= self.at <= self._ahead_from + len(self._ahead):
            ahead = min(max(count, _AHEAD), self.size - start)
            self._ahead, self._ahead_from = self.contents.read(start, ahead), start
        return self._ahead[start - self._ahead_from : self.at - self._ahead_from]

    def skip(self, count: int) -> None:
        """Pass over so many bytes."""
        if not 0 <= count <= self.size - self.at:
            raise self.damaged()
        self.at += count

    def text(self, length: int) -> str:
        """A text of so many bytes."""
        if length > _LONGEST_TEXT:
            raise self.damaged()
        try:
            return self.bytes(length).decode("utf-8")
        except UnicodeDecodeError:
            raise self.damaged() from None

    def damaged(self) -> StoreError:
        """The file says more than it has, or what it cannot be."""
        return StoreError(
            f"the importance matrix {self.path} is damaged or cut short; download or make it again"
        )


def _read_gguf(reader: _Reader) -> ImatrixFile:
    reader.skip(4)
    version, n_tensors, n_keys = reader.take("I"), reader.take("q"), reader.take("q")
    if version not in (2, 3) or not 0 <= n_keys <= _MOST_ENTRIES or not 0 <= n_tensors <= _MOST_ENTRIES:
        raise reader.damaged()
    datasets, numbers = _read_keys(reader, n_keys)
    alignment = numbers.get("general.alignment", _ALIGNMENT)
    if not alignment or alignment & (alignment - 1):
        raise reader.damaged()
    tensors = dict(_read_tensor(reader) for _ in range(n_tensors))
    start = -(-reader.at // alignment) * alignment
    entries: dict[str, _Entry] = {}
    for name in sorted(key.removesuffix(_SUMS) for key in tensors if key.endswith(_SUMS)):
        sums, counts = tensors[name + _SUMS], tensors.get(name + _COUNTS)
        if counts is None:
            raise reader.damaged()
        for n, offset in (sums, counts):
            if not 1 <= n <= _MOST_VALUES or start + offset + 4 * n > reader.size:
                raise reader.damaged()
        if sums[0] % counts[0]:
            raise reader.damaged()
        entries[name] = _Entry(start + sums[1], sums[0], start + counts[1], counts[0])
    missing = {"imatrix.chunk_count", "imatrix.chunk_size"} - numbers.keys()
    if not entries or missing or datasets is None:
        raise StoreError(f"{reader.path} {_NO_MATRIX}")
    chunks, chunk_size = numbers["imatrix.chunk_count"], numbers["imatrix.chunk_size"]
    return ImatrixFile(reader.path, False, datasets, chunks, chunk_size, entries, reader.contents)


def _read_keys(reader: _Reader, count: int) -> tuple[tuple[str, ...] | None, dict[str, int]]:
    """The datasets, None where the header does not tell them, and all 32-bit numbers by their keys."""
    datasets: tuple[str, ...] | None = None
    numbers: dict[str, int] = {}
    for _ in range(count):
        key, kind = reader.text(reader.take("Q")), reader.take("I")
        if kind == _ARRAY:
            texts = _read_array(reader)
            if key == "imatrix.datasets":
                datasets = texts
        elif kind == _STRING:
            reader.skip(reader.take("Q"))
        elif kind == _UINT32:
            numbers[key] = reader.take("I")
        elif kind in _SCALAR_BYTES:
            reader.skip(_SCALAR_BYTES[kind])
        else:
            raise reader.damaged()
    return datasets, numbers


def _read_array(reader: _Reader) -> tuple[str, ...] | None:
    """The texts of an array; None for one of numbers."""
    kind, count = reader.take("I"), reader.take("Q")
    if kind in _SCALAR_BYTES:
        reader.skip(count * _SCALAR_BYTES[kind])
        return None
    if kind != _STRING or count > _MOST_ENTRIES:
        raise reader.damaged()
    return tuple(reader.text(reader.take("Q")) for _ in range(count))


def _read_tensor(reader: _Reader) -> tuple[str, tuple[int, int]]:
    """A tensor's name, its number of values and where in the data they begin."""
    name, n_dims = reader.text(reader.take("Q")), reader.take("I")
    if n_dims > 4:
        raise reader.damaged()
    n = 1
    for _ in range(n_dims):
        n *= reader.take("Q")
    kind, offset = reader.take("I"), reader.take("Q")
    if kind != _F32 and name.endswith((_SUMS, _COUNTS)):
        raise reader.damaged()
    return name, (n, offset)


def _read_legacy(reader: _Reader) -> ImatrixFile:
    try:
        entries = dict(_read_legacy_entries(reader))
    except StoreError:
        if reader.at < 64:  # nothing in it was as it should be
            raise StoreError(f"{reader.path} {_NO_MATRIX}") from None
        raise
    chunks, dataset = 0, ""
    if reader.at < reader.size:  # the end may be missing
        chunks = reader.take("i")
        if reader.at < reader.size:
            dataset = reader.text(max(0, reader.take("i"))).split("\0")[0]
    datasets = (dataset,) if dataset else ()
    return ImatrixFile(reader.path, True, datasets, chunks, 0, entries, reader.contents)


def _read_legacy_entries(reader: _Reader) -> Iterator[tuple[str, _Entry]]:
    count = reader.take("i")
    if not 1 <= count <= _MOST_ENTRIES:
        raise reader.damaged()
    for _ in range(count):
        name = reader.text(reader.take("i")).split("\0")[0]
        counts_at = reader.at
        reader.skip(4)
        values = reader.take("i")
        if not 1 <= values <= _MOST_VALUES or not name:
            raise reader.damaged()
        yield name, _Entry(reader.at, values, counts_at, 1)
        reader.skip(4 * values)
