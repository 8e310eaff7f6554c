"""The C functions of libggml-base that the binding does not declare: GGUF headers and quantization.

Declarations follow gguf.h and ggml.h of the llama.cpp that llama-cpp-python bundles. Pointers are
`c_void_p`; the caller frees what it opens.
"""

from __future__ import annotations

import ctypes
import hashlib
from ctypes import (
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_float,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lqtui.llama.errors import EngineError

GGUF_UINT32, GGUF_STRING, GGUF_ARRAY = 4, 8, 9
"""Values of `enum gguf_type` that callers compare with."""


class GgufInitParams(Structure):
    """`struct gguf_init_params`: whether to leave tensor data alone, and where to put the tensors."""

    _fields_ = (("no_alloc", c_bool), ("ctx", POINTER(c_void_p)))


class GgmlInitParams(Structure):
    """`struct ggml_init_params`: memory for tensors' descriptions, and whether their data gets none."""

    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


class TypeTraits(Structure):
    """The head of `struct ggml_type_traits`, up to the function that turns a row into floats."""

    _fields_ = (
        ("type_name", c_char_p),
        ("blck_size", c_int64),
        ("blck_size_interleave", c_int64),
        ("type_size", c_size_t),
        ("is_quantized", c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_int64)),
    )


_PROTOTYPES: dict[str, tuple[object, tuple[object, ...]]] = {
    "gguf_init_empty": (c_void_p, ()),
    "gguf_init_from_file": (c_void_p, (c_char_p, GgufInitParams)),
    "gguf_free": (None, (c_void_p,)),
    "gguf_get_data_offset": (c_size_t, (c_void_p,)),
    "gguf_get_n_kv": (c_int64, (c_void_p,)),
    "gguf_find_key": (c_int64, (c_void_p, c_char_p)),
    "gguf_get_key": (c_char_p, (c_void_p, c_int64)),
    "gguf_get_kv_type": (c_int, (c_void_p, c_int64)),
    "gguf_get_arr_type": (c_int, (c_void_p, c_int64)),
    "gguf_get_arr_n": (c_size_t, (c_void_p, c_int64)),
    "gguf_get_arr_data": (c_void_p, (c_void_p, c_int64)),
    "gguf_get_arr_str": (c_char_p, (c_void_p, c_int64, c_size_t)),
    "gguf_get_val_data": (c_void_p, (c_void_p, c_int64)),
    "gguf_get_val_str": (c_char_p, (c_void_p, c_int64)),
    "gguf_get_n_tensors": (c_int64, (c_void_p,)),
    "gguf_get_tensor_name": (c_char_p, (c_void_p, c_int64)),
    "gguf_get_tensor_offset": (c_size_t, (c_void_p, c_int64)),
    "gguf_get_tensor_size": (c_size_t, (c_void_p, c_int64)),
    "gguf_get_tensor_type": (c_int, (c_void_p, c_int64)),
    "gguf_get_tensor_ne": (POINTER(c_int64), (c_void_p, c_int64)),
    "gguf_remove_key": (c_int64, (c_void_p, c_char_p)),
    "gguf_set_val_u16": (None, (c_void_p, c_char_p, c_uint16)),
    "gguf_set_val_i32": (None, (c_void_p, c_char_p, c_int32)),
    "gguf_set_val_u32": (None, (c_void_p, c_char_p, c_uint32)),
    "gguf_set_val_str": (None, (c_void_p, c_char_p, c_char_p)),
    "gguf_set_kv": (None, (c_void_p, c_void_p)),
    "gguf_add_tensor": (None, (c_void_p, c_void_p)),
    "gguf_set_tensor_type": (None, (c_void_p, c_char_p, c_int)),
    "gguf_get_meta_size": (c_size_t, (c_void_p,)),
    "gguf_get_meta_data": (None, (c_void_p, c_void_p)),
    "ggml_get_tensor": (c_void_p, (c_void_p, c_char_p)),
    "ggml_init": (c_void_p, (GgmlInitParams,)),
    "ggml_free": (None, (c_void_p,)),
    "ggml_tensor_overhead": (c_size_t, ()),
    "ggml_new_tensor": (c_void_p, (c_void_p, c_int, c_int, POINTER(c_int64))),
    "ggml_new_tensor_2d": (c_void_p, (c_void_p, c_int, c_int64, c_int64)),
    "ggml_set_name": (c_void_p, (c_void_p, c_char_p)),
    "ggml_add": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "ggml_mul_mat": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "ggml_mul_mat_id": (c_void_p, (c_void_p, c_void_p, c_void_p, c_void_p)),
    "ggml_view_1d": (c_void_p, (c_void_p, c_void_p, c_int64, c_size_t)),
    "ggml_nbytes": (c_size_t, (c_void_p,)),
    "ggml_op_name": (c_char_p, (c_int,)),
    "ggml_blck_size": (c_int64, (c_int,)),
    "ggml_type_size": (c_size_t, (c_int,)),
    "ggml_type_name": (c_char_p, (c_int,)),
    "ggml_get_type_traits": (POINTER(TypeTraits), (c_int,)),
    "ggml_quantize_init": (None, (c_int,)),
    "ggml_quantize_chunk": (
        c_size_t,
        (c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p),
    ),
    "ggml_validate_row_data": (c_bool, (c_int, c_void_p, c_size_t)),
    "ggml_backend_tensor_get": (None, (c_void_p, c_void_p, c_size_t, c_size_t)),
    "ggml_backend_tensor_set": (None, (c_void_p, c_void_p, c_size_t, c_size_t)),
    "ggml_backend_buft_name": (c_char_p, (c_void_p,)),
    "ggml_backend_buft_alloc_buffer": (c_void_p, (c_void_p, c_size_t)),
    "ggml_backend_buft_get_alloc_size": (c_size_t, (c_void_p, c_void_p)),
    "ggml_backend_buffer_free": (None, (c_void_p,)),
    "ggml_backend_dev_name": (c_char_p, (c_void_p,)),
    "ggml_backend_dev_description": (c_char_p, (c_void_p,)),
    "ggml_backend_dev_type": (c_int, (c_void_p,)),
    "ggml_backend_dev_buffer_type": (c_void_p, (c_void_p,)),
    "ggml_backend_dev_host_buffer_type": (c_void_p, (c_void_p,)),
    "ggml_backend_dev_supports_op": (c_bool, (c_void_p, c_void_p)),
    "ggml_backend_dev_backend_reg": (c_void_p, (c_void_p,)),
    "ggml_backend_reg_get_proc_address": (c_void_p, (c_void_p, c_char_p)),
}

_SCALARS: dict[int, type[ctypes._SimpleCData[Any]]] = {
    0: c_uint8,
    1: ctypes.c_int8,
    2: c_uint16,
    3: ctypes.c_int16,
    4: c_uint32,
    5: c_int32,
    6: c_float,
    7: c_bool,
    10: c_uint64,
    11: c_int64,
    12: ctypes.c_double,
}


def library_dir() -> Path:
    """The directory of the shared libraries that llama-cpp-python was installed with."""
    spec = find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise EngineError("llama-cpp-python is not installed; reinstall lqtui with: pip install lqtui")
    return Path(spec.origin).parent / "lib"


@lru_cache(maxsize=1)
def ggml() -> ctypes.CDLL:
    """libggml-base with the prototypes above, loaded without the rest of llama.cpp (a few milliseconds)."""
    library = _library("ggml-base")
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def devices() -> list[int]:
    """The processors and GPUs that this build of llama.cpp can use: pointers to ggml's devices."""
    registry = _library("ggml")
    registry.ggml_backend_dev_get.restype = c_void_p
    registry.ggml_backend_dev_get.argtypes = (c_size_t,)
    registry.ggml_backend_dev_count.restype = c_size_t
    return [registry.ggml_backend_dev_get(i) for i in range(registry.ggml_backend_dev_count())]


def device_descriptions() -> list[str]:
    """The processors and GPUs that this build of llama.cpp can use, by their own descriptions."""
    return [ggml().ggml_backend_dev_description(d).decode("utf-8", "replace") for d in devices()]


def _library(name: str) -> ctypes.CDLL:
    for file_name in (f"lib{name}.so", f"lib{name}.dylib", f"{name}.dll"):
        path = library_dir() / file_name
        if path.exists():
            return ctypes.CDLL(str(path))
    raise EngineError(f"no {name} library in {library_dir()}; reinstall llama-cpp-python 0.3.36 or newer")


def scalar(gguf: c_void_p, key: str) -> int | float | str | None:
    """The value of a key of a GGUF header; of an array, its first number; None where it is absent."""
    lib = ggml()
    index = lib.gguf_find_key(gguf, key.encode())
    if index < 0:
        return None
    kind = lib.gguf_get_kv_type(gguf, index)
    if kind == GGUF_STRING:
        return str(lib.gguf_get_val_str(gguf, index).decode("utf-8", "replace"))
    if kind == GGUF_ARRAY:
        kind = lib.gguf_get_arr_type(gguf, index)
        if kind not in _SCALARS or lib.gguf_get_arr_n(gguf, index) == 0:
            return None
        pointer = lib.gguf_get_arr_data(gguf, index)
    else:
        pointer = lib.gguf_get_val_data(gguf, index)
    value: int | float = _SCALARS[kind].from_address(pointer).value
    return value


def array_length(gguf: c_void_p, key: str) -> int:
    """Number of elements of an array key, 0 where it is absent or no array."""
    lib = ggml()
    index = lib.gguf_find_key(gguf, key.encode())
    if index < 0 or lib.gguf_get_kv_type(gguf, index) != GGUF_ARRAY:
        return 0
    return int(lib.gguf_get_arr_n(gguf, index))


def metadata(gguf: c_void_p) -> dict[str, tuple[int, bytes | list[bytes]]]:
    """What a GGUF header says by key: the type of a value, or of an array's, and the bytes."""
    lib = ggml()
    keys = [lib.gguf_get_key(gguf, i).decode("utf-8", "replace") for i in range(lib.gguf_get_n_kv(gguf))]
    return {key: _value(gguf, index) for index, key in enumerate(keys)}


def _value(gguf: c_void_p, index: int) -> tuple[int, bytes | list[bytes]]:
    lib = ggml()
    kind: int = lib.gguf_get_kv_type(gguf, index)
    if kind == GGUF_STRING:
        return kind, lib.gguf_get_val_str(gguf, index)
    if kind != GGUF_ARRAY:
        return kind, ctypes.string_at(lib.gguf_get_val_data(gguf, index), ctypes.sizeof(_SCALARS[kind]))
    kind, count = lib.gguf_get_arr_type(gguf, index), lib.gguf_get_arr_n(gguf, index)
    if kind == GGUF_STRING:
        return kind, [lib.gguf_get_arr_str(gguf, index, i) for i in range(count)]
    size = count * ctypes.sizeof(_SCALARS[kind])
    return kind, ctypes.string_at(lib.gguf_get_arr_data(gguf, index), size) if size else b""


def op_name(number: int) -> str:
    """The name of a ggml operation, such as MUL_MAT."""
    return str(ggml().ggml_op_name(number).decode())


@lru_cache(maxsize=1)
def engine_name() -> str:
    """What tells one build of llama.cpp from another: the binding's version and a digest of its libraries."""
    digest = hashlib.sha256()
    for path in sorted(library_dir().iterdir()):
        if not path.is_symlink():
            status = path.stat()
            digest.update(f"{path.name}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    return f"llama-cpp-python {version('llama-cpp-python')} {digest.hexdigest()[:8]}"
