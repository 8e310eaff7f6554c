"""Which weights this processor keeps in an order of its own, beside the mapped file: asked of llama.cpp.

For each weight llama.cpp tries its extra buffers (AMX, KleidiAI, CPU_REPACK), and takes the first that can do
the weight's operation: `weight_buft_supported` in llama-model-loader.cpp. The same question is asked here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from ctypes import POINTER, c_int64, c_void_p

from lqtui.llama import native
from lqtui.llama.errors import EngineError
from lqtui.llama.graph import Tensor, layout_holds
from lqtui.recipe.memory import Repacking
from lqtui.recipe.types import TARGET_TYPES, TensorType

_CPU, _GPU, _INTEGRATED_GPU = 0, 1, 2
"""Values of `enum ggml_backend_dev_type`."""
_BATCH = 512
_ROOM = 8
"""Tensors' descriptions that one question takes."""


def gpu_buffers() -> dict[str, str]:
    """The GPUs' names, by the names of the buffers that lie in their memory."""
    lib = native.ggml()
    return {
        _text(lib.ggml_backend_buft_name(lib.ggml_backend_dev_buffer_type(gpu))): _text(
            lib.ggml_backend_dev_name(gpu)
        )
        for gpu in _gpus()
    }


def repackings(shapes: Iterable[tuple[tuple[int, ...], bool]]) -> list[Repacking]:
    """Everything that the processor repacks, of weights of these shapes (and whether experts) in any type.

    Nothing where a GPU driver offers pinned memory: llama.cpp then prefers that for what stays in RAM. Raises
    EngineError where this build of ggml cannot be asked.
    """
    if not layout_holds():
        raise EngineError("this build of llama.cpp lays tensors out in a way that lqtui does not know")
    processor, extra_buffers = _processor()
    found = []
    for ne, experts in shapes:
        for tensor_type in TARGET_TYPES:
            if ne[0] % tensor_type.block_size == 0:
                for buffer in extra_buffers:
                    repacking = _repacking(processor, buffer, ne, experts, tensor_type)
                    if repacking:
                        found.append(repacking)
                        break
    return found


def _repacking(
    processor: int, buffer_type: int, ne: tuple[int, ...], experts: bool, tensor_type: TensorType
) -> Repacking | None:
    """How a kind of buffer would hold a weight; None where it cannot compute with it."""
    lib = native.ggml()
    room = native.GgmlInitParams(_ROOM * lib.ggml_tensor_overhead(), None, True)
    context = lib.ggml_init(room)
    buffer = lib.ggml_backend_buft_alloc_buffer(buffer_type, 0)
    try:
        weight = _tensor(context, tensor_type, ne)
        Tensor.from_address(weight).buffer = buffer
        if experts:
            batch = _tensor(context, TensorType.F32, (ne[0], 1, _BATCH))
            chosen = _tensor(context, TensorType.I32, (1, _BATCH))
            product = lib.ggml_mul_mat_id(context, weight, batch, chosen)
        else:
            batch = _tensor(context, TensorType.F32, (ne[0], _BATCH, *ne[2:]))
            product = lib.ggml_mul_mat(context, weight, batch)
        if not lib.ggml_backend_dev_supports_op(processor, product):
            return None
        name = _text(lib.ggml_backend_buft_name(buffer_type))
        size = lib.ggml_backend_buft_get_alloc_size(buffer_type, weight)
        return Repacking(tensor_type, ne, experts, name, size)
    finally:
        lib.ggml_backend_buffer_free(buffer)
        lib.ggml_free(context)


def _tensor(context: int, tensor_type: TensorType, ne: tuple[int, ...]) -> int:
    extents = (c_int64 * len(ne))(*ne)
    made: int = native.ggml().ggml_new_tensor(context, tensor_type.layout.number, len(ne), extents)
    return made


def _processor() -> tuple[int, list[int]]:
    """The processor, and the kinds of buffers that it repacks weights into, in llama.cpp's order."""
    lib = native.ggml()
    processor = next(device for device in native.devices() if lib.ggml_backend_dev_type(device) == _CPU)
    if any(lib.ggml_backend_dev_host_buffer_type(gpu) for gpu in _gpus()):
        return processor, []
    address = lib.ggml_backend_reg_get_proc_address(
        lib.ggml_backend_dev_backend_reg(processor), b"ggml_backend_dev_get_extra_bufts"
    )
    if not address:
        return processor, []
    listing = ctypes.CFUNCTYPE(POINTER(c_void_p), c_void_p)(address)(processor)
    kinds: list[int] = []
    while listing[len(kinds)]:
        kinds.append(listing[len(kinds)])
    return processor, kinds


def _gpus() -> Iterator[int]:
    lib = native.ggml()
    return (d for d in native.devices() if lib.ggml_backend_dev_type(d) in (_GPU, _INTEGRATED_GPU))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
