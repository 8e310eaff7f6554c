"""GGUF files through libggml's own functions: read a base model's header, write a model or a shard of one."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from collections.abc import Iterable, Mapping
from ctypes import c_void_p
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from lqtui.llama import native
from lqtui.llama.errors import EngineError
from lqtui.llama.header_check import check_header
from lqtui.recipe.imatrix import HEADER_KEYS, header_bytes
from lqtui.recipe.shape import ALIGNMENT, ModelShape, TensorInfo, tensor_order
from lqtui.recipe.split_names import split_name
from lqtui.recipe.types import TensorType, type_from_number

_QUANTIZATION_VERSION = 2
"""GGML_QNT_VERSION."""
_ARCHITECTURE = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
_GREATEST_NUMBER = (1 << 31) - 1
"""Of a header's numbers that lqtui reads: llama.cpp takes them for 32 bits, some of them with a sign."""
_MAX_BLOCKS = 512
"""LLAMA_MAX_LAYERS."""
SHARD_HEADER_BYTES = 1024
"""Every pool shard's header has this size, so that it can be rewritten in place."""


class _Part(NamedTuple):
    """One file of a model: its header, its tensors' descriptions, and its bytes mapped."""

    path: Path
    gguf: c_void_p
    tensors: c_void_p
    data: mmap.mmap


class _Source(NamedTuple):
    """Where a tensor's data lies."""

    info: TensorInfo
    part: _Part
    offset: int
    size: int


class BaseModel:
    """An opened base model, all its split parts together; `close` or `with` frees it.

    Raises EngineError, one sentence, for anything that is not a complete GGUF language model.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts: list[_Part] = []
        try:
            given = _open_part(path)
            self._parts.append(given)
            for index, part_path in enumerate(_all_parts(path, _integer(given.gguf, "split.count"))):
                if part_path != path:
                    self._parts.insert(index, _open_part(part_path))
            self._sources = self._index()
            self.shape = self._read_shape()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> BaseModel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the headers; data views become invalid."""
        lib = native.ggml()
        for part in self._parts:
            lib.gguf_free(part.gguf)
            lib.ggml_free(part.tensors)
        self._parts = []

    @property
    def first_part(self) -> Path:
        """The file that llama.cpp is given to load the whole model."""
        return self._parts[0].path

    @property
    def part_paths(self) -> list[Path]:
        """The model's files, in order."""
        return [part.path for part in self._parts]

    def data(self, name: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """A tensor's bytes, mapped from the file, not copied."""
        source = self._sources[name]
        return np.frombuffer(source.part.data, np.uint8, source.size, source.offset)

    def metadata(self) -> dict[str, tuple[int, bytes | list[bytes]]]:
        """What the header says by key: the type of a value, or of an array's, and the bytes."""
        return native.metadata(self._parts[0].gguf)

    def header(
        self,
        types: Mapping[str, TensorType],
        file_type: int,
        added: Mapping[str, bytes | int] = MappingProxyType({}),
    ) -> bytes:
        """The header that llama-quantize writes for these types: metadata, tensor list, padding.

        `added` are the keys of an importance matrix. Source: `llama_model_quantize_impl` in llama-quant.cpp.
        """
        return self._header(self.shape.tensors, types, file_type, added)

    def _header(
        self,
        tensors: Iterable[TensorInfo],
        types: Mapping[str, TensorType],
        file_type: int,
        added: Mapping[str, bytes | int] = MappingProxyType({}),
    ) -> bytes:
        lib = native.ggml()
        gguf = self._copied_metadata()
        try:
            lib.gguf_set_val_u32(gguf, b"general.quantization_version", _QUANTIZATION_VERSION)
            lib.gguf_set_val_u32(gguf, b"general.file_type", file_type)
            for key in (b"split.no", b"split.count", b"split.tensors.count"):
                lib.gguf_remove_key(gguf, key)
            for name, value in added.items():
                set_value = lib.gguf_set_val_str if isinstance(value, bytes) else lib.gguf_set_val_u32
                set_value(gguf, name.encode(), value)
            for tensor in tensors:
                self._add_tensor(gguf, tensor.name, types.get(tensor.name, tensor.type))
            return _written(gguf)
        finally:
            lib.gguf_free(gguf)

    def first_shard_header(self, names: list[str], shard_count: int) -> bytes:
        """The header of a split model's first shard: all metadata, and the tensors that it holds itself."""
        lib = native.ggml()
        gguf = self._copied_metadata()
        try:
            lib.gguf_set_val_u16(gguf, b"split.no", 0)
            lib.gguf_set_val_u16(gguf, b"split.count", shard_count)
            lib.gguf_set_val_i32(gguf, b"split.tensors.count", len(self.shape.tensors))
            for name in names:
                self._add_tensor(gguf, name, self.shape.by_name[name].type)
            return _written(gguf)
        finally:
            lib.gguf_free(gguf)

    def shard_header(self, name: str, tensor_type: TensorType, number: int) -> bytes:
        """The header of a shard that holds one tensor, padded to SHARD_HEADER_BYTES by a filler key."""
        lib = native.ggml()
        gguf = c_void_p(lib.gguf_init_empty())
        try:
            lib.gguf_set_val_u16(gguf, b"split.no", number)
            lib.gguf_set_val_str(gguf, b"lqtui.padding", b"")
            self._add_tensor(gguf, name, tensor_type)
            missing = SHARD_HEADER_BYTES - lib.gguf_get_meta_size(gguf)
            lib.gguf_set_val_str(gguf, b"lqtui.padding", b"." * missing)
            return _written(gguf)
        finally:
            lib.gguf_free(gguf)

    def _copied_metadata(self) -> c_void_p:
        lib = native.ggml()
        gguf = c_void_p(lib.gguf_init_empty())
        lib.gguf_set_kv(gguf, self._parts[0].gguf)
        return gguf

    def _add_tensor(self, gguf: c_void_p, name: str, tensor_type: TensorType) -> None:
        lib = native.ggml()
        description = lib.ggml_get_tensor(self._sources[name].part.tensors, name.encode())
        lib.gguf_add_tensor(gguf, description)
        lib.gguf_set_tensor_type(gguf, name.encode(), tensor_type.layout.number)

    def _index(self) -> dict[str, _Source]:
        lib = native.ggml()
        sources: dict[str, _Source] = {}
        for part in self._parts:
            start = lib.gguf_get_data_offset(part.gguf)
            for i in range(lib.gguf_get_n_tensors(part.gguf)):
                info = _tensor_info(part, i)
                offset = start + lib.gguf_get_tensor_offset(part.gguf, i)
                size = lib.gguf_get_tensor_size(part.gguf, i)
                if offset + size > len(part.data):
                    raise EngineError(f"{part.path} was cut short while it was opened; copy it again")
                if info.name in sources:
                    raise EngineError(
                        f"{part.path} holds {info.name} twice; the model's parts do not fit together"
                    )
                sources[info.name] = _Source(info, part, offset, size)
        return sources

    def _read_shape(self) -> ModelShape:
        gguf = self._parts[0].gguf
        architecture = native.scalar(gguf, "general.architecture")
        if not isinstance(architecture, str) or not _ARCHITECTURE.fullmatch(architecture):
            raise EngineError(
                f"{self.path} names no architecture; it is not a language model that llama.cpp can run"
            )
        blocks = _integer(gguf, f"{architecture}.block_count")

        def number(key: str, missing: int | None = 0) -> int:
            value = _integer(gguf, key, missing)
            if value is not None and not 0 <= value <= _GREATEST_NUMBER:
                raise EngineError(
                    f"{self.path} has a damaged header: {key} is {value:,}; download or copy it again"
                )
            return value

        if not self._sources or not blocks:
            raise EngineError(
                f"{self.path} holds no model weights (a vocabulary or metadata file); "
                f"open the model's own GGUF"
            )
        if not 0 < blocks <= _MAX_BLOCKS:
            raise EngineError(
                f"{self.path} claims {blocks:,} blocks; llama.cpp runs models of up to {_MAX_BLOCKS}"
            )
        if _integer(gguf, "general.alignment", missing=ALIGNMENT) != ALIGNMENT:
            raise EngineError(
                f"{self.path} aligns its tensors in its own way (general.alignment is not {ALIGNMENT}); what "
                f"llama-quantize makes of such a model cannot be opened"
            )
        expected = native.scalar(gguf, "split.tensors.count")
        if isinstance(expected, int) and len(self._parts) > 1 and expected != len(self._sources):
            raise EngineError(
                f"{self.path} promises {expected} tensors, its parts hold {len(self._sources)}; "
                f"download it again"
            )
        tensors = tuple(
            source.info for _, source in sorted(self._sources.items(), key=lambda item: tensor_order(item[0]))
        )
        header = self._header(tensors, {}, 0)  # of the same size for all types
        return ModelShape(
            name=_model_name(self.path),
            architecture=architecture,
            block_count=blocks,
            tensors=tensors,
            meta_bytes=len(header),
            meta_padding=len(header) - _end_of_tensors(header, tensors[-1]),
            imatrix_keys=header_bytes(_present(gguf, HEADER_KEYS)),
            file_bytes=sum(len(part.data) for part in self._parts),
            file_type=number("general.file_type", missing=None),
            context_length=number(f"{architecture}.context_length"),
            embedding_length=number(f"{architecture}.embedding_length"),
            heads=number(f"{architecture}.attention.head_count"),
            kv_heads=number(f"{architecture}.attention.head_count_kv")
            or number(f"{architecture}.attention.head_count"),
            experts=number(f"{architecture}.expert_count"),
            vocab_size=native.array_length(gguf, "tokenizer.ggml.tokens"),
        )


def _model_name(path: Path) -> str:
    """What people call a model: its file's name, which says more than most headers' `general.name`."""
    name = split_name(path.name)
    return name.prefix if name else path.stem


def _all_parts(path: Path, count: int) -> list[Path]:
    """The files of a model split in `count`, given any of them; the file itself where it is not split."""
    if count < 2:
        return [path]
    name = split_name(path.name)
    if name is None or name.part_count != count:
        raise EngineError(
            f"{path} is one of {count} parts of a model, but not named like one "
            f"(…-00001-of-{count:05}.gguf); give all parts their own names back"
        )
    parts = [path.with_name(part) for part in name.parts]
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        raise EngineError(
            f"{path.name} is one of {count} parts, and {missing[0]} is missing in {path.parent}; "
            f"put all parts in one directory"
        )
    return parts


def _open_part(path: Path) -> _Part:
    check_header(path)
    lib = native.ggml()
    tensors = c_void_p()
    params = native.GgufInitParams(no_alloc=True, ctx=ctypes.pointer(tensors))
    gguf = c_void_p(lib.gguf_init_from_file(os.fsencode(path), params))
    if not gguf:
        raise EngineError(f"{path} has a damaged or truncated GGUF header; download or copy it again")
    with path.open("rb") as file:
        return _Part(path, gguf, tensors, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _tensor_info(part: _Part, index: int) -> TensorInfo:
    lib = native.ggml()
    name: str = lib.gguf_get_tensor_name(part.gguf, index).decode("utf-8")
    ne = tuple(lib.gguf_get_tensor_ne(part.gguf, index)[:4])
    while len(ne) > 1 and ne[-1] == 1:
        ne = ne[:-1]
    return TensorInfo(name, ne, type_from_number(lib.gguf_get_tensor_type(part.gguf, index)))


def _integer(gguf: c_void_p, key: str, missing: int | None = 0) -> int:
    value = native.scalar(gguf, key)
    return int(value) if isinstance(value, int) else missing  # type: ignore[return-value]


def _present(gguf: c_void_p, keys: Iterable[str]) -> dict[str, bytes | int]:
    """The texts and numbers among some keys that a header has."""
    found: dict[str, bytes | int] = {}
    for key in keys:
        index = native.ggml().gguf_find_key(gguf, key.encode())
        kind = native.ggml().gguf_get_kv_type(gguf, index) if index >= 0 else None
        if kind == native.GGUF_STRING:
            found[key] = native.ggml().gguf_get_val_str(gguf, index)
        elif kind == native.GGUF_UINT32:
            found[key] = 0
    return found


def _end_of_tensors(header: bytes, last: TensorInfo) -> int:
    """Where a header's list of tensors ends and its padding begins, by the last tensor's name."""
    name = last.name.encode()
    start = header.rindex(len(name).to_bytes(8, "little") + name) + 8 + len(name)
    dimensions = int.from_bytes(header[start : start + 4], "little")
    return start + 4 + 8 * dimensions + 4 + 8


def _written(gguf: c_void_p) -> bytes:
    lib = native.ggml()
    buffer = ctypes.create_string_buffer(lib.gguf_get_meta_size(gguf))
    lib.gguf_get_meta_data(gguf, buffer)
    return buffer.raw
