"""What a context allocates on each device: asked of llama.cpp, which can lay all out without allocating it.

`llama_model_params.no_alloc` makes llama.cpp plan a model and its context to the byte with buffers of no
size; its own `--fit` works that way. No function of the C API tells the result, so it is read from the log.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import llama_cpp

from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.llama.repacking import gpu_buffers, repackings
from lqtui.recipe.memory import CPU, Buffer, ContextMemory, Part, repackable_shapes
from lqtui.recipe.types import TensorType

_LOAD_MODE_NONE = 0
"""LLAMA_LOAD_MODE_NONE: without it, llama.cpp would map the file, which no_alloc forbids."""
_ERROR = 4
"""GGML_LOG_LEVEL_ERROR."""
_MIB = 1 << 20

_SIZE = r"\s*=\s*(?P<mib>[\d.]+) MiB"
_LAYER = re.compile(r"load_tensors: layer +\d+ assigned to device (?P<device>[^,]+)")
_KV_LAYER = re.compile(r"llama_kv_cache: layer +\d+: dev = (?P<device>.+)")
_KV_SIZE = re.compile(r"llama_kv_cache: size" + _SIZE + r".*\), K \(")
_BUFFER = re.compile(r"\w+: +(?P<name>\S+) +(?P<kind>RS|compute|output|DSV4 .* state) buffer size" + _SIZE)
_UNUSED = re.compile(r"model has unused tensor (?P<name>.+) \(size = \d+ bytes\)")
_PARTS = {"compute": Part.COMPUTE, "output": Part.OUTPUT}


@dataclass
class AllocationLog:
    """What llama.cpp's log says, line by line; `gpus` are their names by the names of their buffers."""

    gpus: dict[str, str]
    layers: list[str] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    error: str = ""
    _kv_layers: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        """Take what a line tells."""
        if match := _LAYER.match(line):
            self.layers.append(self._device(match["device"]))
        elif match := _KV_LAYER.match(line):
            self._kv_layers.append(match["device"])
        elif match := _KV_SIZE.match(line):
            self._add_cache(_bytes(match["mib"]))
        elif match := _BUFFER.match(line):
            part = _PARTS.get(match["kind"], Part.STATE)
            self._add(match["name"], part, _bytes(match["mib"]))
        elif match := _UNUSED.match(line):
            self.unused.append(match["name"])

    def _add_cache(self, n_bytes: int) -> None:
        """Share a cache out among its layers' devices: a cache's layers are nearly always of one size."""
        for name in dict.fromkeys(self._kv_layers):
            self._add(name, Part.KV_CACHE, n_bytes * self._kv_layers.count(name) // len(self._kv_layers))
        self._kv_layers = []

    def _add(self, name: str, part: Part, n_bytes: int) -> None:
        if n_bytes:
            self.buffers.append(Buffer(self._device(name), name, part, n_bytes))

    def _device(self, name: str) -> str:
        return name if name in self.gpus.values() else self.gpus.get(name, CPU)


def context_memory(
    model: Path, n_ctx: int, type_k: TensorType, type_v: TensorType, gpu_layers: int
) -> ContextMemory:
    """What llama.cpp allocates for a context of `n_ctx` tokens, besides the weights.

    For one sequence, in batches of 512 tokens with room for the logits of all of them, flash attention where
    the device has it, and sliding-window caches no longer than their window: as llama-perplexity and
    llama-bench run it. llama-server keeps fewer logits, and so needs less for a large vocabulary.
    Raises EngineError where llama.cpp cannot run the model so. The backend must be initialised.
    """
    with BaseModel(model) as base:
        shape, path = base.shape, base.first_part
    with _heard() as log:
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.no_alloc = True
        params.load_mode = _LOAD_MODE_NONE
        loaded = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not loaded:
            raise EngineError(f"llama.cpp cannot load this model{_reason(log)}")
        try:
            _make_context(loaded, n_ctx, type_k, type_v, log)
        finally:
            llama_cpp.llama_model_free(loaded)
    if not log.layers or not any(buffer.part is Part.COMPUTE for buffer in log.buffers):
        raise EngineError("this version of llama.cpp does not tell what it allocates")
    found = repackings(repackable_shapes(shape.tensors))
    return ContextMemory(n_ctx, tuple(log.layers), tuple(log.buffers), tuple(found), tuple(log.unused))


def _make_context(
    loaded: int, n_ctx: int, type_k: TensorType, type_v: TensorType, log: AllocationLog
) -> None:
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = n_ctx
    params.type_k = type_k.layout.number
    params.type_v = type_v.layout.number
    params.swa_full = False
    made = llama_cpp.llama_init_from_model(loaded, params)
    if not made:
        raise EngineError(f"llama.cpp cannot make a context of {n_ctx} tokens like this{_reason(log)}")
    llama_cpp.llama_free(made)


@contextlib.contextmanager
def _heard() -> Iterator[AllocationLog]:
    """Listen to llama.cpp's log, and pass it on to standard error."""
    log = AllocationLog(gpu_buffers())
    pending = bytearray()

    def hear(level: int, text: bytes, _: object) -> None:
        os.write(2, text)
        pending.extend(text)
        if pending.endswith(b"\n"):
            for line in pending.decode("utf-8", "replace").splitlines():
                log.hear(line)
                if level == _ERROR:
                    log.error = line
            pending.clear()

    callback = llama_cpp.llama_log_callback(hear)  # must outlive its use: native code keeps no reference
    llama_cpp.llama_log_set(callback, None)
    try:
        yield log
    finally:
        llama_cpp.llama_log_set(llama_cpp.llama_log_callback(), None)
        del callback


def _bytes(mib: str) -> int:
    return round(float(mib) * _MIB)


def _reason(log: AllocationLog) -> str:
    return f": {log.error}" if log.error else ""
