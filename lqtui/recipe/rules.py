"""llama-quantize's own rules: what it never quantizes, and what it does when a row does not fit a type.

Sources: `tensor_allows_quantization`, `tensor_type_fallback` and `tensor_get_category` in
llama.cpp's llama-quant.cpp. `mixes.py` has the rules of its named mixes.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from functools import lru_cache

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TensorType

_NEVER_CONTAINING = (
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
)

_NEVER_NAMED = ("position_embd.weight", "token_types.weight")

_NEVER_IN_GLM5_NEXT = (
    "hc_",
    "indexer.attn_q_b",
    "indexer.attn_k",
    "indexer.proj",
    "indexer_compressor_gate",
    "indexer_compressor_ape",
    "ssm_f_a.weight",
    "ssm_f_b.weight",
    "ssm_g_a.weight",
    "ssm_g_b.weight",
    "ssm_beta.weight",
    "attn_kv_a_mqa.weight",
    "attn_k_b.weight",
    "attn_v_b.weight",
)

_FALLBACK = {
    TensorType.IQ1_S: TensorType.IQ4_NL,
    TensorType.IQ1_M: TensorType.IQ4_NL,
    TensorType.IQ2_XXS: TensorType.IQ4_NL,
    TensorType.IQ2_XS: TensorType.IQ4_NL,
    TensorType.IQ2_S: TensorType.IQ4_NL,
    TensorType.IQ3_XXS: TensorType.IQ4_NL,
    TensorType.IQ3_S: TensorType.IQ4_NL,
    TensorType.IQ4_XS: TensorType.IQ4_NL,
    TensorType.Q2_0: TensorType.Q4_0,
    TensorType.Q2_K: TensorType.Q4_0,
    TensorType.Q3_K: TensorType.Q4_0,
    TensorType.TQ1_0: TensorType.Q4_0,
    TensorType.TQ2_0: TensorType.Q4_0,
    TensorType.Q4_K: TensorType.Q5_0,
    TensorType.Q5_K: TensorType.Q5_1,
    TensorType.Q6_K: TensorType.Q8_0,
}


class Category(Enum):
    """The broad kinds of tensor that llama-quantize's mixes tell apart."""

    TOKEN_EMBD = auto()
    ATTENTION_Q = auto()
    ATTENTION_V = auto()
    ATTENTION_K = auto()
    ATTENTION_QKV = auto()
    ATTENTION_KV_B = auto()
    ATTENTION_OUTPUT = auto()
    FFN_UP = auto()
    FFN_GATE = auto()
    FFN_DOWN = auto()
    OUTPUT = auto()
    OTHER = auto()


_CATEGORIES = (
    ("attn_qkv.weight", Category.ATTENTION_QKV),
    ("attn_kv_b.weight", Category.ATTENTION_KV_B),
    ("attn_v.weight", Category.ATTENTION_V),
    ("attn_k.weight", Category.ATTENTION_K),
    ("attn_q.weight", Category.ATTENTION_Q),
    ("attn_output.weight", Category.ATTENTION_OUTPUT),
    ("ffn_up", Category.FFN_UP),
    ("ffn_gate", Category.FFN_GATE),
    ("ffn_down", Category.FFN_DOWN),
)


@lru_cache(maxsize=1 << 16)
def category_of(name: str) -> Category:
    """The category of a tensor name."""
    if name == "output.weight":
        return Category.OUTPUT
    if name in ("token_embd.weight", "per_layer_token_embd.weight"):
        return Category.TOKEN_EMBD
    return next((category for part, category in _CATEGORIES if part in name), Category.OTHER)


def is_quantizable(shape: ModelShape, tensor: TensorInfo) -> bool:
    """Whether llama-quantize would ever change this tensor's type."""
    name = tensor.name
    if _dimensions(tensor) < 2 or not name.endswith("weight") or name in _NEVER_NAMED:
        return False
    if any(part in name for part in _NEVER_CONTAINING):
        return False
    return not (shape.architecture == "glm5-next" and any(part in name for part in _NEVER_IN_GLM5_NEXT))


@lru_cache(maxsize=8)
def quantizable_tensors(shape: ModelShape) -> tuple[TensorInfo, ...]:
    """The tensors whose type a recipe can choose, in the order of the file."""
    return tuple(tensor for tensor in shape.tensors if is_quantizable(shape, tensor))


@lru_cache(maxsize=8)
def quantizable_names(shape: ModelShape) -> frozenset[str]:
    """The names of the quantizable tensors."""
    return frozenset(tensor.name for tensor in quantizable_tensors(shape))


def requires_imatrix(
    tensor: TensorInfo,
    effective: TensorType,
    file_type: FileType | None = None,
    imatrix: Imatrix | None = None,
) -> bool:
    """Whether llama-quantize stops where this tensor becomes `effective`, for want of its importances.

    An importance matrix that is given may know of this tensor or not. Sources: `tensor_requires_imatrix` and,
    for the embedding and the output, which that function lets pass, `ggml_quantize_requires_imatrix`, which
    ends the process.
    """
    if imatrix is not None and (imatrix.covers(tensor) or effective is tensor.type):
        return False
    if category_of(tensor.name) in (Category.TOKEN_EMBD, Category.OUTPUT):
        return effective.impossible_without_imatrix and effective is not tensor.type
    return effective.needs_imatrix or (effective is TensorType.Q2_K and file_type is FileType.Q2_K_S)


def fitting_type(tensor: TensorInfo, wanted: TensorType) -> TensorType:
    """The type that llama-quantize really writes where `wanted` was asked for: rows must divide into blocks.

    Raises RecipeError where llama-quantize would stop: a type with large blocks and no fallback.
    """
    if tensor.columns % wanted.block_size == 0:
        return wanted
    fallback = _FALLBACK.get(wanted, wanted)
    if fallback is wanted and wanted.block_size > 32:
        raise RecipeError(
            f"{tensor.name} cannot be {wanted}: its rows of {tensor.columns} weights do not divide into "
            f"blocks of {wanted.block_size}, and llama.cpp has no fallback for {wanted}"
        )
    return fallback if tensor.columns % fallback.block_size == 0 else TensorType.F16


def _dimensions(tensor: TensorInfo) -> int:
    """`ggml_n_dims`: trailing dimensions of extent 1 do not count."""
    return max((i + 1 for i, extent in enumerate(tensor.ne) if extent > 1), default=1)


def effective_types(
    tensor: TensorInfo, wanted: Iterable[TensorType], imatrix: Imatrix | None = None
) -> tuple[TensorType, ...]:
    """The types that a tensor really gets where some are asked for, each once.

    Without those that llama-quantize refuses to write, for want of the tensor's importances or because the
    rows do not divide into blocks.
    """
    types: dict[TensorType, None] = {}
    for asked in wanted:
        try:
            effective = fitting_type(tensor, asked)
        except RecipeError:
            continue
        if not requires_imatrix(tensor, effective, imatrix=imatrix):
            types[effective] = None
    return tuple(types)
