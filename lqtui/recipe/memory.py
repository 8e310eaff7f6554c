"""How much memory a recipe needs at a context length: an estimate, to be checked against llama.cpp's log."""

from __future__ import annotations

import msgspec

from lqtui.recipe.recipe import Plan
from lqtui.recipe.shape import ModelShape

_F16_BYTES = 2
_F32_BYTES = 4
_UBATCH = 512


class MemoryEstimate(msgspec.Struct, frozen=True):
    """Bytes for the weights, for the KV cache in F16, and for the compute buffers of a 512-token batch."""

    weights: int
    kv_cache: int
    compute: int
    n_ctx: int

    @property
    def total(self) -> int:
        """All of it, in bytes."""
        return self.weights + self.kv_cache + self.compute


def estimate_memory(plan: Plan, n_ctx: int) -> MemoryEstimate:
    """Estimate the memory of a recipe at a context of `n_ctx` tokens.

    KV cache: blocks x tokens x KV heads x (key + value width) x 2 bytes. Compute: the logits and a few
    activations of one batch in F32, which dominate llama.cpp's own compute buffer.
    """
    shape = plan.shape
    per_token = shape.kv_heads * sum(_head_widths(shape)) * _F16_BYTES
    logits = _UBATCH * shape.vocab_size * _F32_BYTES
    activations = 8 * _UBATCH * shape.embedding_length * _F32_BYTES
    return MemoryEstimate(
        weights=plan.data_bytes,
        kv_cache=shape.block_count * n_ctx * per_token,
        compute=logits + activations,
        n_ctx=n_ctx,
    )


def _head_widths(shape: ModelShape) -> tuple[int, int]:
    default = shape.embedding_length // shape.heads if shape.heads else 0
    return shape.key_length or default, shape.value_length or default
