"""How much memory a recipe needs at a context length, on each device.

What a context takes is llama.cpp's own word (`ContextMemory`), asked once for each length and KV type: no
formula holds for all architectures. What the weights take follows from the recipe, and is worked out here, so
that it follows each edit at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import NamedTuple

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.recipe import Plan, PlannedTensor
from lqtui.recipe.shape import ALIGNMENT, ModelShape, TensorInfo
from lqtui.recipe.types import TensorType, parse_type

CPU = "CPU"
"""llama.cpp's name for the processor, whose memory is the RAM."""

KV_TYPES = (
    TensorType.F16,
    TensorType.Q8_0,
    TensorType.Q5_1,
    TensorType.Q5_0,
    TensorType.Q4_1,
    TensorType.Q4_0,
    TensorType.IQ4_NL,
    TensorType.BF16,
    TensorType.F32,
)
"""The types that llama.cpp's tools take for a KV cache, its default first."""

_INPUT_ROLES = frozenset({"token_embd", "position_embd", "token_types", "per_layer_token_embd"})
"""What is looked up before the first block: llama.cpp leaves it to the processor, and never repacks it."""
_GPU_ALIGNMENT = 128


class Part(StrEnum):
    """What a buffer is for."""

    WEIGHTS = "weights"
    KV_CACHE = "KV cache"
    STATE = "recurrent state"
    COMPUTE = "compute"
    OUTPUT = "output"


class Buffer(msgspec.Struct, frozen=True):
    """Memory that llama.cpp has in one piece: on which device, and under which name (`CPU_Mapped`)."""

    device: str
    name: str
    part: Part
    bytes: int


class Repacking(msgspec.Struct, frozen=True):
    """Weights of this type and shape are kept in the processor's own order: where, and how many bytes."""

    type: TensorType
    ne: tuple[int, ...]
    experts: bool
    buffer: str
    bytes: int


class ContextMemory(msgspec.Struct, frozen=True, eq=False):
    """What llama.cpp says of a model with a context of `n_ctx` tokens; no recipe changes it.

    `layers` names the device of each block, and last that of the output; `buffers` are all but the weights';
    `unused` are tensors that llama.cpp leaves alone.
    """

    n_ctx: int
    layers: tuple[str, ...]
    buffers: tuple[Buffer, ...]
    repackings: tuple[Repacking, ...] = ()
    unused: tuple[str, ...] = ()


class MemoryEstimate(msgspec.Struct, frozen=True, dict=True):
    """The buffers that llama.cpp allocates to run a recipe, the model's file being mapped, not read.

    `file_cache` bytes of what is mapped are weights that lie in another buffer too: the system can drop those
    pages once the model is loaded.
    """

    n_ctx: int
    buffers: tuple[Buffer, ...]
    file_cache: int = 0

    @cached_property
    def allocated(self) -> int:
        """Bytes of all buffers: the sum of what llama.cpp's log says."""
        return sum(buffer.bytes for buffer in self.buffers)

    @cached_property
    def needed(self) -> int:
        """Bytes that must be had at once, on all devices together: each weight counts once on each device."""
        return self.allocated - self.file_cache

    @cached_property
    def in_ram(self) -> int:
        """Bytes that must be had in RAM at once."""
        return self.of(device=CPU) - self.file_cache

    @cached_property
    def on_gpus(self) -> int:
        """Bytes that must be had on the GPUs, all together."""
        return self.needed - self.in_ram

    def of(self, *, device: str | None = None, part: Part | None = None) -> int:
        """Bytes of the buffers of one device, of one part, or both."""
        return sum(
            buffer.bytes
            for buffer in self.buffers
            if (device is None or buffer.device == device) and (part is None or buffer.part is part)
        )


def parse_kv_types(text: str) -> tuple[TensorType, TensorType]:
    """The types of keys and values that a person named: `q8_0` for both, `q8_0/q4_0` for each its own."""
    names = text.split("/")
    with contextlib.suppress(RecipeError):  # it would name types that no cache can have
        types = [parse_type(name) for name in names]
        if len(types) <= 2 and all(each in KV_TYPES for each in types):
            return types[0], types[-1]
    known = ", ".join(KV_TYPES)
    raise RecipeError(f"unknown KV type {text!r}; name one for both, or K/V (Q8_0/Q4_0), of: {known}")


def kv_types_name(type_k: TensorType, type_v: TensorType) -> str:
    """The types of keys and values as `parse_kv_types` reads them."""
    return str(type_k) if type_k is type_v else f"{type_k}/{type_v}"


def estimate_memory(plan: Plan, context: ContextMemory) -> MemoryEstimate:
    """What llama.cpp allocates to run a plan's GGUF file: the context as it was measured, and the weights.

    A file's tensors that stay on the processor as they are need no memory but the mapped file, from the first
    of them to the last (`get_mapping_range` in llama-model-loader.cpp); those between them that a GPU or a
    repacked copy holds can be dropped, and are the `file_cache`. A tied output is held twice where its device
    or its order differ from the embedding's.
    """
    repackings = {(r.type, r.ne, r.experts): r for r in context.repackings}
    places = _places(plan.shape, context)
    mapped: list[tuple[int, int]] = []
    held: dict[tuple[str, str], int] = {}

    def repacking(planned: PlannedTensor, place: _Place) -> Repacking | None:
        return repackings.get((planned.effective, planned.tensor.ne, place.experts))

    def hold(device: str, buffer: str, n_bytes: int) -> None:
        held[device, buffer] = held.get((device, buffer), 0) + n_bytes

    end = 0
    for planned, n_bytes in zip(plan.tensors, plan.tensor_bytes, strict=True):
        begin, end = end, end + _padded(n_bytes, ALIGNMENT)
        place = places[planned.tensor.name]
        if place is None:
            continue
        if place.device != CPU:
            hold(place.device, place.device, _padded(n_bytes, _GPU_ALIGNMENT))
        elif place.repackable and (repacked := repacking(planned, place)):
            hold(CPU, repacked.buffer, repacked.bytes)
        else:
            mapped.append((begin, begin + n_bytes))
        if place.copy_on and place.copy_on != CPU:
            hold(place.copy_on, place.copy_on, _padded(n_bytes, _GPU_ALIGNMENT))
        elif place.copy_on and (copy := repacking(planned, place)):
            hold(CPU, copy.buffer, copy.bytes)
    weights = [Buffer(device, name, Part.WEIGHTS, n_bytes) for (device, name), n_bytes in held.items()]
    file_cache = 0
    if mapped:
        span = mapped[-1][1] - mapped[0][0]
        file_cache = span - sum(stop - start for start, stop in mapped)
        weights.insert(0, Buffer(CPU, "CPU_Mapped", Part.WEIGHTS, span))
    return MemoryEstimate(context.n_ctx, (*weights, *context.buffers), file_cache)


def holds_experts(tensor: TensorInfo) -> bool:
    """Whether a tensor's third dimension is experts, of which a token meets a few."""
    return tensor.role.endswith("exps")


def repackable_shapes(tensors: Iterable[TensorInfo]) -> list[tuple[tuple[int, ...], bool]]:
    """The shapes, and whether they are experts', of which a processor may keep its own order."""
    return list(dict.fromkeys((t.ne, holds_experts(t)) for t in tensors if len(t.ne) > 1))


class _Place(NamedTuple):
    """Where a tensor's weights are, whatever their type: `copy_on` has them again, as the tied output."""

    device: str
    repackable: bool
    experts: bool
    copy_on: str


@lru_cache(maxsize=8)
def _places(shape: ModelShape, context: ContextMemory) -> Mapping[str, _Place | None]:
    """The place of each tensor by name, None for those that llama.cpp leaves alone; no recipe changes it."""
    output = context.layers[-1] if context.layers else CPU
    places: dict[str, _Place | None] = {}
    for tensor in shape.tensors:
        device = _device(tensor, context.layers, output)
        is_output = tensor.role == "token_embd" and shape.tied_embeddings
        repackable = bool(context.repackings) and tensor.role not in _INPUT_ROLES
        places[tensor.name] = _Place(device, repackable, holds_experts(tensor), output if is_output else "")
    return {**places, **dict.fromkeys(context.unused)}


def _device(tensor: TensorInfo, layers: tuple[str, ...], output: str) -> str:
    if tensor.block is not None:
        return layers[tensor.block] if tensor.block < len(layers) else output
    return CPU if tensor.role in _INPUT_ROLES else output


def _padded(n_bytes: int, alignment: int) -> int:
    return -(-n_bytes // alignment) * alignment
