"""llama.cpp's models and contexts: load, free, and turn what it logs into sentences."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NewType, TypeVar

import llama_cpp

from lqtui.llama import native
from lqtui.llama.errors import EngineError, LoadFailed

Model = NewType("Model", int)
"""A `llama_model *`."""
Context = NewType("Context", int)
"""A `llama_context *`."""
EvalCallback = Callable[[int, bool, object], bool]
"""llama.cpp's `cb_eval`: what is called before and after it computes a node."""
T = TypeVar("T")


@contextlib.contextmanager
def backend() -> Iterator[None]:
    """Initialise llama.cpp for the life of a job; its log goes to the process's standard error."""
    # The binding installs a Python callback for the log; native threads must not depend on it.
    llama_cpp.llama_log_set(llama_cpp.llama_log_callback(), None)  # a null pointer: the default, stderr
    _allow_many_files()
    llama_cpp.llama_backend_init()
    try:
        yield
    finally:
        llama_cpp.llama_backend_free()


@contextlib.contextmanager
def loaded_model(shards: Sequence[Path], gpu_layers: int, *, vocab_only: bool = False) -> Iterator[Model]:
    """A model, memory-mapped from one file (all parts of a split model too) or from pool shards in order.

    With `vocab_only` it can tokenize and nothing else. Raises LoadFailed where llama.cpp cannot; its
    log says why.
    """
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = gpu_layers
    params.vocab_only = vocab_only
    if len(shards) == 1:
        model = llama_cpp.llama_model_load_from_file(str(shards[0]).encode(), params)
    else:
        paths = (ctypes.c_char_p * len(shards))(*(str(shard).encode() for shard in shards))
        model = llama_cpp.llama_model_load_from_splits(paths, len(shards), params)
    if not model:
        raise LoadFailed("llama.cpp cannot load this model; the job's log says why")
    try:
        yield Model(model)
    finally:
        llama_cpp.llama_model_free(model)


@contextlib.contextmanager
def context(
    model: Model, n_ctx: int, n_batch: int, threads: int, hook: EvalCallback | None = None
) -> Iterator[Context]:
    """A context of `n_ctx` tokens that takes `n_batch` of them at once, else with llama.cpp's defaults.

    A hook sees every node of what is computed, the weights where they were loaded: none is copied to another
    device for the occasion.
    """
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = n_ctx
    params.n_batch = n_batch
    params.n_ubatch = min(n_batch, 512)
    params.n_threads = threads
    params.n_threads_batch = threads
    params.no_perf = True
    if hook is not None:
        callback = llama_cpp.ggml_backend_sched_eval_callback(hook)
        params.cb_eval = callback
        params.op_offload = False
    made = llama_cpp.llama_init_from_model(model, params)
    if not made:
        raise LoadFailed(
            f"llama.cpp cannot make a context of {n_ctx} tokens; memory may not suffice: see the job's log"
        )
    try:
        yield Context(made)
    finally:
        llama_cpp.llama_free(made)


def decode(made: Context, batch: Any) -> None:
    """Run one batch through the model; EngineError with llama.cpp's code where it fails."""
    code = llama_cpp.llama_decode(made, batch)
    if code != 0:
        raise EngineError(f"llama.cpp stopped while decoding (code {code}); the job's log says why")


def clear(made: Context) -> None:
    """Forget everything that the context has seen."""
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(made), True)


def describe() -> tuple[str, bool, list[str]]:
    """What the processor offers llama.cpp, whether it can offload to a GPU, and the devices that it sees."""
    info = llama_cpp.llama_print_system_info().decode()
    return info, bool(llama_cpp.llama_supports_gpu_offload()), native.device_descriptions()


def offloads(gpu_layers: int, block_count: int) -> list[int]:
    """How many layers to try to offload, one after the other, where -1 (all) or some were asked for."""
    if not gpu_layers or not llama_cpp.llama_supports_gpu_offload():
        return [0]
    asked = block_count + 1 if gpu_layers < 0 else gpu_layers
    return [gpu_layers, asked * 3 // 4, asked // 2, asked // 4, 0]


def with_layers_that_fit(gpu_layers: int, block_count: int, attempt: Callable[[int], T]) -> T:
    """Do something that loads models, with so many layers offloaded, or fewer where the memory is too small.

    Args:
        gpu_layers: How many to offload, -1 for all.
        block_count: The model's.
        attempt: Called with a number of layers, and with a smaller one after it raised LoadFailed.

    Raises:
        LoadFailed: It was raised even without any layer on a GPU.
    """
    for layers in offloads(gpu_layers, block_count):
        try:
            return attempt(layers)
        except LoadFailed as error:
            if not layers:
                raise
            print(f"{error}; trying with fewer layers on the GPU", file=sys.stderr)
    raise AssertionError("offloads ends with none")


def _allow_many_files() -> None:
    """Raise the soft limit on open files: a recipe is one shard per tensor."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
