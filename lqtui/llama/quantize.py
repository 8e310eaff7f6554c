"""Quantize tensors one by one, into pool shards or straight into a model file.

A tensor's bytes at a type depend on nothing else, so the same function serves both, and they are the
bytes that llama-quantize writes: it too calls `ggml_quantize_chunk` row by row.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lqtui.llama import native
from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import SHARD_HEADER_BYTES, BaseModel
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ALIGNMENT, TensorInfo
from lqtui.recipe.types import TensorType
from lqtui.store.files import PARTIAL_SUFFIX, atomic_write, require_space
from lqtui.store.pool import PoolEntry

_SLAB_WEIGHTS = 4 << 20
"""Weights that one thread holds as floats at a time: 16 MiB."""
_FIRST_SHARD = ("first", "all metadata")
_HOLE_TYPES = (TensorType.IQ1_S, TensorType.Q5_0)

OnTensor = Callable[[int, int], None]
"""Told after each tensor: bytes of base weights done, bytes in all."""


def fill_pool(
    base: BaseModel,
    types: Mapping[str, TensorType],
    entry: PoolEntry,
    threads: int,
    on_tensor: OnTensor,
    holes: Path | None = None,
) -> list[Path]:
    """Quantize what the pool lacks of `types`, and return the shards that together are a model with them.

    A tensor that `types` does not name is a hole: a sparse file of zeros in the folder `holes`, which costs
    no disk. The entry must be locked. Raises EngineError for weights that cannot be quantized, StoreError for
    a disk without room.
    """
    shards = [entry.path(*_FIRST_SHARD)]
    lacking: list[tuple[int, TensorInfo, Path]] = []
    tensors = quantizable_tensors(base.shape)
    for number, tensor in enumerate(tensors, start=1):
        if tensor.name not in types:
            assert holes is not None
            shards.append(_hole(base, tensor, number, holes))
            continue
        path = entry.path(types[tensor.name], tensor.name)
        shards.append(path)
        if not _is_whole(path, SHARD_HEADER_BYTES + _padded(tensor.bytes_as(types[tensor.name]))):
            lacking.append((number, tensor, path))
    require_space(
        entry.directory,
        base.shape.meta_bytes + sum(t.bytes_as(types[t.name]) + SHARD_HEADER_BYTES for _, t, _ in lacking),
    )
    _write_first_shard(base, shards[0], len(tensors) + 1)
    total = sum(tensor.bytes_as(tensor.type) for _, tensor, _ in lacking)
    done = 0
    with ThreadPoolExecutor(threads) as workers:
        for number, tensor, path in lacking:
            tensor_type = types[tensor.name]
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                file.write(base.shard_header(tensor.name, tensor_type, number))
                _write_tensor(file, base, tensor, tensor_type, workers)
            done += tensor.bytes_as(tensor.type)
            on_tensor(done, total)
    return shards


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
    types: Mapping[str, TensorType],
    file_type: int,
    out: Path,
    entry: PoolEntry | None,
    threads: int,
    on_tensor: OnTensor,
) -> int:
    """Write the GGUF file that llama-quantize would write, and return its size in bytes.

    Tensors that the pool holds are copied from it. Raises EngineError or StoreError; `out` is then untouched.
    """
    if out.exists() and any(out.samefile(part) for part in base.part_paths):
        raise EngineError(f"{out} is the base model itself; choose another name")
    header = base.header(types, file_type)
    tensors = base.shape.tensors
    size = len(header) + sum(_padded(t.bytes_as(types.get(t.name, t.type))) for t in tensors)
    require_space(out, size)
    total = sum(tensor.bytes_as(tensor.type) for tensor in tensors)
    done = 0
    with atomic_write(out) as temporary, temporary.open("wb") as file, ThreadPoolExecutor(threads) as workers:
        file.write(header)
        for tensor in tensors:
            tensor_type = types.get(tensor.name, tensor.type)
            pooled = entry.path(tensor_type, tensor.name) if entry else None
            wanted = _padded(tensor.bytes_as(tensor_type))
            if pooled and tensor_type is not tensor.type and _is_whole(pooled, SHARD_HEADER_BYTES + wanted):
                with pooled.open("rb") as shard:
                    shard.seek(SHARD_HEADER_BYTES)
                    file.write(shard.read(wanted))
            else:
                _write_tensor(file, base, tensor, tensor_type, workers)
            done += tensor.bytes_as(tensor.type)
            on_tensor(done, total)
    return size


def _write_first_shard(base: BaseModel, path: Path, shard_count: int) -> None:
    """Write the shard that holds the metadata and every tensor that no recipe changes."""
    free = set(quantizable_tensors(base.shape))
    fixed = [tensor for tensor in base.shape.tensors if tensor not in free]
    header = base.first_shard_header([tensor.name for tensor in fixed], shard_count)
    if _is_whole(path, len(header) + sum(_padded(t.bytes_as(t.type)) for t in fixed)):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, temporary.open("wb") as file, ThreadPoolExecutor(1) as workers:
        file.write(header)
        for tensor in fixed:
            _write_tensor(file, base, tensor, tensor.type, workers)


def _write_tensor(
    file: BinaryIO,
    base: BaseModel,
    tensor: TensorInfo,
    tensor_type: TensorType,
    workers: ThreadPoolExecutor,
) -> None:
    """Append a tensor's data at a type, padded as llama-quantize pads it."""
    written = 0
    if tensor_type is tensor.type:
        data = base.data(tensor.name)
        check_values(data, tensor)
        written = file.write(data.data)
    else:
        for slab in _quantized_slabs(base, tensor, tensor_type, workers):
            written += file.write(slab.data)
    file.write(bytes(_padded(written) - written))


def _quantized_slabs(
    base: BaseModel, tensor: TensorInfo, tensor_type: TensorType, workers: ThreadPoolExecutor
) -> Iterator[NDArray[np.uint8]]:
    """A tensor's rows at a type, slab after slab in order, a bounded number of them in memory."""
    if tensor_type.impossible_without_imatrix:  # ggml would abort
        raise EngineError(f"{tensor.name} cannot be written as {tensor_type} without an importance matrix")
    native.ggml().ggml_quantize_init(tensor_type.layout.number)
    rows = base.data(tensor.name).reshape(tensor.rows, tensor.type.row_bytes(tensor.columns))
    per_slab = max(1, _SLAB_WEIGHTS // tensor.columns)
    starts = range(0, tensor.rows, per_slab)
    at_once = 2 * workers._max_workers
    for group in range(0, len(starts), at_once):
        yield from workers.map(
            lambda start: _quantize_rows(rows[start : start + per_slab], tensor, tensor_type),
            starts[group : group + at_once],
        )


def _quantize_rows(rows: NDArray[np.uint8], tensor: TensorInfo, tensor_type: TensorType) -> NDArray[np.uint8]:
    check_values(rows, tensor)
    return quantized(as_floats(rows, tensor.type), tensor, tensor_type)


def quantized(weights: NDArray[np.float32], tensor: TensorInfo, tensor_type: TensorType) -> NDArray[np.uint8]:
    """Rows of a tensor at a type, shape (rows, bytes), from their weights, shape (rows, columns).

    Types with tables need `ggml_quantize_init` first. Raises EngineError where the result is unusable.
    """
    lib = native.ggml()
    rows, columns = weights.shape
    out = np.empty((rows, tensor_type.row_bytes(columns)), np.uint8)
    number = tensor_type.layout.number
    size = lib.ggml_quantize_chunk(number, weights.ctypes.data, out.ctypes.data, 0, rows, columns, None)
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


def _is_whole(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _padded(size: int) -> int:
    return math.ceil(size / ALIGNMENT) * ALIGNMENT
