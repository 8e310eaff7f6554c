"""Quantize tensors one by one, or copy them, into pool shards or straight into a model file.

A tensor's bytes in an encoding depend on nothing else, so the same function serves both, and they
are the bytes that llama-quantize writes: it too calls `ggml_quantize_chunk` row by row.
"""

from __future__ import annotations

import ctypes
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lqtui.llama import native
from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import SHARD_HEADER_BYTES, BaseModel
from lqtui.llama.sources import NO_SOURCES, Sources, sources_of
from lqtui.recipe.imatrix import Encoding, Imatrix
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ALIGNMENT, TensorInfo
from lqtui.recipe.types import TensorType
from lqtui.store.files import PARTIAL_SUFFIX, atomic_write, require_space
from lqtui.store.pool import PoolEntry
from lqtui.store.sealed import SealedFile, is_sealed

_SLAB_WEIGHTS = 4 << 20
"""Weights that one thread holds as floats at a time: 16 MiB."""
_FIRST_SHARD = ("first", "all metadata")
_HOLE_TYPES = (TensorType.IQ1_S, TensorType.Q5_0)

OnTensor = Callable[[int, int], None]
"""Told after each tensor: bytes of base weights done, bytes in all."""


def fill_pool(
    base: BaseModel,
    encodings: Mapping[str, Encoding],
    entry: PoolEntry,
    threads: int,
    on_tensor: OnTensor,
    holes: Path | None = None,
    sources: Sources = NO_SOURCES,
) -> list[Path]:
    """Quantize what the pool lacks of `encodings`, and return the shards that together are a model with them.

    A tensor that `encodings` does not name is a hole: a sparse file of zeros in the folder `holes`, which
    costs no disk. The entry must be locked. Raises EngineError for weights that cannot be quantized or
    copied, StoreError for a disk without room.
    """
    shards = [entry.path(*_FIRST_SHARD)]
    wanted: list[_Shard] = []
    tensors = quantizable_tensors(base.shape)
    for number, tensor in enumerate(tensors, start=1):
        if tensor.name not in encodings:
            assert holes is not None
            shards.append(_hole(base, tensor, number, holes))
            continue
        wanted.append(_Shard(number, tensor, _shard(entry, tensor, encodings[tensor.name])))
        shards.append(wanted[-1].path)
    with ThreadPoolExecutor(threads) as workers:
        whole = workers.map(lambda shard: _is_whole(shard.path, shard.tensor, encodings), wanted)
        lacking = [shard for shard, is_whole in zip(wanted, whole, strict=True) if not is_whole]
    require_space(
        entry.directory,
        base.shape.meta_bytes
        + sum(t.bytes_as(encodings[t.name].type) + SHARD_HEADER_BYTES for _, t, _ in lacking),
    )
    _write_first_shard(base, shards[0], len(tensors) + 1)
    total = sum(tensor.bytes_as(tensor.type) for _, tensor, _ in lacking)
    done = 0
    with ThreadPoolExecutor(threads) as workers:
        for number, tensor, path in lacking:
            encoding = encodings[tensor.name]
            _make_way(path)
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                sealed = SealedFile(file, _identity(path))
                sealed.write(base.shard_header(tensor.name, encoding.type, number))
                _write_tensor(sealed, base, tensor, encoding, workers, sources)
                sealed.seal()
            done += tensor.bytes_as(tensor.type)
            on_tensor(done, total)
    entry.note_use([shards[0], *(shard.path for shard in wanted)])
    return shards


class _Shard(NamedTuple):
    """A file of the pool: its number in the model, and the one tensor that it holds."""

    number: int
    tensor: TensorInfo
    path: Path


def _is_whole(path: Path, tensor: TensorInfo, encodings: Mapping[str, Encoding]) -> bool:
    """Whether a shard is there, undamaged, and that of this tensor, model and engine."""
    size = SHARD_HEADER_BYTES + _padded(tensor.bytes_as(encodings[tensor.name].type))
    return is_sealed(path, size, _identity(path))


def _identity(path: Path) -> str:
    """What a shard is, by its place in the pool: the model, the engine, the encoding and the tensor."""
    return "/".join(path.parts[-4:])


def _make_way(path: Path) -> None:
    """Make a shard's folder, whatever else stands in its place or the shard's; the entry is locked."""
    folder = path.parent
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    folder.mkdir(parents=True, exist_ok=True)


def _shard(entry: PoolEntry, tensor: TensorInfo, encoding: Encoding) -> Path:
    """The pool's file of a tensor: of each encoding its own."""
    of_file = encoding.file and f"of-{encoding.file}"
    return entry.path("-".join(filter(None, (encoding.type, encoding.imatrix, of_file))), tensor.name)


def _hole(base: BaseModel, tensor: TensorInfo, number: int, holes: Path) -> Path:
    """A shard whose weights are never written: zeros that take no room, in a type that stays as it is."""
    fitting = (t for t in _HOLE_TYPES if tensor.columns % t.block_size == 0)
    hole_type = next(fitting, tensor.type)
    path = holes / f".{number}{PARTIAL_SUFFIX}"  # if this process dies, the next one removes it
    with path.open("wb") as file:
        file.write(base.shard_header(tensor.name, hole_type, number))
        file.truncate(SHARD_HEADER_BYTES + _padded(tensor.bytes_as(hole_type)))
    return path


def write_model(
    base: BaseModel,
    encodings: Mapping[str, Encoding],
    file_type: int,
    out: Path,
    entry: PoolEntry | None,
    threads: int,
    on_tensor: OnTensor,
    imatrix: Imatrix | None = None,
    copied_from: QuantizedFile | None = None,
) -> int:
    """Write the GGUF file that llama-quantize would write, and return its size in bytes.

    Tensors that the pool holds are taken from it. Raises EngineError or StoreError; `out` is then untouched.
    """
    encodings = {t.name: Encoding(t.type) for t in base.shape.tensors} | dict(encodings)
    if out.exists() and any(out.samefile(part) for part in base.part_paths):
        raise EngineError(f"{out} is the base model itself; choose another name")
    types = {name: encoding.type for name, encoding in encodings.items()}
    header = base.header(types, file_type, imatrix.header() if imatrix else {})
    tensors = base.shape.tensors
    size = len(header) + sum(_padded(t.bytes_as(types[t.name])) for t in tensors)
    require_space(out, size)
    total = sum(tensor.bytes_as(tensor.type) for tensor in tensors)
    done = 0
    with (
        sources_of(imatrix, copied_from) as sources,
        atomic_write(out) as temporary,
        temporary.open("wb") as file,
        ThreadPoolExecutor(threads) as workers,
    ):
        file.write(header)
        for tensor in tensors:
            encoding = encodings[tensor.name]
            pooled = _shard(entry, tensor, encoding) if entry else None
            wanted = _padded(tensor.bytes_as(encoding.type))
            if pooled and encoding.type is not tensor.type and _is_whole(pooled, tensor, encodings):
                with pooled.open("rb") as shard:
                    shard.seek(SHARD_HEADER_BYTES)
                    file.write(shard.read(wanted))
            else:
                _write_tensor(file, base, tensor, encoding, workers, sources)
            done += tensor.bytes_as(tensor.type)
            on_tensor(done, total)
    return size


def _write_first_shard(base: BaseModel, path: Path, shard_count: int) -> None:
    """Write the shard that holds the metadata and every tensor that no recipe changes."""
    free = set(quantizable_tensors(base.shape))
    fixed = [tensor for tensor in base.shape.tensors if tensor not in free]
    header = base.first_shard_header([tensor.name for tensor in fixed], shard_count)
    if is_sealed(path, len(header) + sum(_padded(t.bytes_as(t.type)) for t in fixed), _identity(path)):
        return
    _make_way(path)
    with atomic_write(path) as temporary, temporary.open("wb") as file, ThreadPoolExecutor(1) as workers:
        sealed = SealedFile(file, _identity(path))
        sealed.write(header)
        for tensor in fixed:
            _write_tensor(sealed, base, tensor, Encoding(tensor.type), workers)
        sealed.seal()


def _write_tensor(
    file: BinaryIO | SealedFile,
    base: BaseModel,
    tensor: TensorInfo,
    encoding: Encoding,
    workers: ThreadPoolExecutor,
    sources: Sources = NO_SOURCES,
) -> None:
    """Append a tensor's data in an encoding, padded as llama-quantize pads it."""
    written = 0
    if encoding.type is tensor.type:
        data = base.data(tensor.name)
        check_values(data, tensor)
        written = file.write(data.data)
    elif (copied := sources.copied(base, tensor, encoding)) is not None:
        written = file.write(copied.data)
    else:
        importance = sources.importance(tensor, encoding)
        for slab in _quantized_slabs(base, tensor, encoding.type, importance, workers):
            written += file.write(slab.data)
    file.write(bytes(_padded(written) - written))


def _quantized_slabs(
    base: BaseModel,
    tensor: TensorInfo,
    tensor_type: TensorType,
    importance: NDArray[np.float32] | None,
    workers: ThreadPoolExecutor,
) -> Iterator[NDArray[np.uint8]]:
    """A tensor's rows at a type, slab after slab in order, a bounded number of them in memory.

    `importance` has shape (matrices, columns), and no slab has rows of two matrices.
    """
    native.ggml().ggml_quantize_init(tensor_type.layout.number)
    rows = base.data(tensor.name).reshape(tensor.rows, tensor.type.row_bytes(tensor.columns))
    per_matrix = tensor.rows if importance is None else tensor.rows // len(importance)
    per_slab = max(1, _SLAB_WEIGHTS // tensor.columns)
    slabs = [
        slice(start, min(start + per_slab, first + per_matrix))
        for first in range(0, tensor.rows, per_matrix)
        for start in range(first, first + per_matrix, per_slab)
    ]

    def quantize(slab: slice) -> NDArray[np.uint8]:
        check_values(rows[slab], tensor)
        of_matrix = None if importance is None else importance[slab.start // per_matrix]
        return quantized(as_floats(rows[slab], tensor.type), tensor, tensor_type, of_matrix)

    at_once = 2 * workers._max_workers
    for group in range(0, len(slabs), at_once):
        yield from workers.map(quantize, slabs[group : group + at_once])


def quantized(
    weights: NDArray[np.float32],
    tensor: TensorInfo,
    tensor_type: TensorType,
    importance: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Rows of a tensor at a type, shape (rows, bytes), from their weights, shape (rows, columns).

    Errors are weighed by the importance of each column, shape (columns,), where that is given. Types with
    tables need `ggml_quantize_init` first. Raises EngineError where the result is unusable.
    """
    if importance is None and tensor_type.impossible_without_imatrix:  # ggml would abort
        raise EngineError(f"{tensor.name} cannot be written as {tensor_type} without an importance matrix")
    lib = native.ggml()
    rows, columns = weights.shape
    out = np.empty((rows, tensor_type.row_bytes(columns)), np.uint8)
    number = tensor_type.layout.number
    pointer = None if importance is None else importance.ctypes.data
    size = lib.ggml_quantize_chunk(number, weights.ctypes.data, out.ctypes.data, 0, rows, columns, pointer)
    if size != out.size or not lib.ggml_validate_row_data(number, out.ctypes.data, out.size):
        raise EngineError(
            f"{tensor.name} cannot be written as {tensor_type}: llama.cpp finds infinite or undefined values "
            f"in the result; choose another type for it"
        )
    return out


def check_values(data: NDArray[np.uint8], tensor: TensorInfo) -> None:
    """Refuse infinite and undefined weights in the base model, as llama-quantize does."""
    if not native.ggml().ggml_validate_row_data(tensor.type.layout.number, data.ctypes.data, data.nbytes):
        raise EngineError(
            f"{tensor.name} of the base model holds infinite or undefined values; download it again"
        )


def as_floats(rows: NDArray[np.uint8], tensor_type: TensorType) -> NDArray[np.float32]:
    """Rows of a type, shape (rows, bytes), as 32-bit floats, exactly as llama-quantize reads them."""
    match tensor_type:
        case TensorType.F32:
            return rows.view(np.float32)
        case TensorType.F16:
            return rows.view(np.float16).astype(np.float32)
        case TensorType.BF16:
            return (rows.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    layout = tensor_type.layout
    traits = native.ggml().ggml_get_type_traits(layout.number).contents
    columns = rows.shape[1] // layout.block_bytes * layout.block_size
    floats = np.empty((len(rows), columns), np.float32)
    source = np.ascontiguousarray(rows)
    traits.to_float(source.ctypes.data, floats.ctypes.data, ctypes.c_int64(floats.size))
    return floats


def _padded(size: int) -> int:
    return math.ceil(size / ALIGNMENT) * ALIGNMENT
