"""Shapes of synthetic models, and the memory that llama.cpp might say they need."""

from __future__ import annotations

from collections.abc import Mapping

from lqtui.recipe.memory import Buffer, ContextMemory, Part, estimate_memory
from lqtui.recipe.recipe import Plan
from lqtui.recipe.shape import ModelShape, TensorInfo, tensor_order
from lqtui.recipe.types import TensorType
from lqtui.workbench import Fit


def llama_shape(
    blocks: int = 30,
    *,
    name: str = "SmolLM2-135M-Instruct",
    width: int = 576,
    ffn: int = 1536,
    heads: int = 9,
    kv_heads: int = 3,
    vocab: int = 49152,
    tied: bool = True,
    roles: Mapping[str, tuple[int, ...]] | None = None,
    base: TensorType = TensorType.F16,
) -> ModelShape:
    """A llama-like model's shape; `roles` replaces the quantizable tensors of each block."""
    kv = width // heads * kv_heads
    dimensions = roles or {
        "attn_q": (width, width),
        "attn_k": (width, kv),
        "attn_v": (width, kv),
        "attn_output": (width, width),
        "ffn_gate": (width, ffn),
        "ffn_up": (width, ffn),
        "ffn_down": (ffn, width),
    }
    tensors = [
        TensorInfo("token_embd.weight", (width, vocab), base),
        TensorInfo("output_norm.weight", (width,), TensorType.F32),
    ]
    if not tied:
        tensors.append(TensorInfo("output.weight", (width, vocab), base))
    for block in range(blocks):
        for role in ("attn_norm", "ffn_norm"):
            tensors.append(TensorInfo(f"blk.{block}.{role}.weight", (width,), TensorType.F32))
        for role, ne in dimensions.items():
            tensors.append(TensorInfo(f"blk.{block}.{role}.weight", ne, base))
    tensors.sort(key=lambda tensor: tensor_order(tensor.name))
    meta_bytes = 1_781_248
    return ModelShape(
        name=name,
        architecture="llama",
        block_count=blocks,
        tensors=tuple(tensors),
        meta_bytes=meta_bytes,
        file_bytes=meta_bytes + sum(t.bytes_as(t.type) for t in tensors),
        file_type=1,
        context_length=8192,
        embedding_length=width,
        heads=heads,
        kv_heads=kv_heads,
        vocab_size=vocab,
    )


def qwen_shape() -> ModelShape:
    """A model of 24 blocks, 896 wide, as the published experiment's."""
    return llama_shape(
        24, name="Qwen2-0.5B-Instruct", width=896, ffn=4864, heads=14, kv_heads=2, vocab=151936
    )


def moe_shape(blocks: int = 16) -> ModelShape:
    """A mixture of experts, with untied output."""
    return llama_shape(
        blocks,
        name="Tiny-MoE",
        tied=False,
        width=1024,
        vocab=32000,
        heads=16,
        roles={
            "attn_q": (1024, 1024),
            "attn_k": (1024, 256),
            "attn_v": (1024, 256),
            "attn_output": (1024, 1024),
            "ffn_gate_inp": (1024, 8),
            "ffn_gate_exps": (1024, 512, 8),
            "ffn_up_exps": (1024, 512, 8),
            "ffn_down_exps": (512, 1024, 8),
        },
    )


def context_of(
    shape: ModelShape, n_ctx: int, type_k: TensorType = TensorType.F16, *, gpus: int = 0
) -> ContextMemory:
    """What llama.cpp might say of a llama-like model: on the processor, or shared out among GPUs."""
    n_blocks = shape.block_count
    layers = [f"CUDA{i * gpus // (n_blocks + 1)}" if gpus else "CPU" for i in range(n_blocks + 1)]
    head = shape.embedding_length // shape.heads
    cache = 2 * n_blocks * n_ctx * type_k.row_bytes(shape.kv_heads * head)
    device = layers[0]
    buffers = (
        Buffer("CPU", "CPU", Part.OUTPUT, 4 * shape.vocab_size),
        Buffer(device, device, Part.KV_CACHE, cache),
        Buffer(device, device, Part.COMPUTE, 512 * 4 * shape.vocab_size),
    )
    return ContextMemory(n_ctx, tuple(layers), buffers)


def fit_of(plan: Plan, n_ctx: int, type_k: TensorType = TensorType.F16, *, gpus: int = 0) -> Fit:
    """The memory that a plan needs where llama.cpp says so."""
    context = context_of(plan.shape, n_ctx, type_k, gpus=gpus)
    return Fit(n_ctx, type_k, type_k, estimate_memory(plan, context))
