"""The type that a named mix (Q4_0, Q4_K_M, IQ3_XXS …) gives each tensor, before its shape is looked at.

Source: `llama_tensor_get_type_impl` in llama.cpp's llama-quant.cpp, whose order of cases and counters
this follows: some rules count the tensors of a category as they come by.
"""

from __future__ import annotations

from dataclasses import dataclass

from lqtui.recipe.file_types import FileType as F
from lqtui.recipe.rules import Category, category_of
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TensorType as T

_ATTN_V_LIKE = (Category.ATTENTION_V, Category.ATTENTION_QKV, Category.ATTENTION_KV_B)
_VERY_LOW = (F.IQ2_XXS, F.IQ2_XS, F.IQ1_S, F.IQ2_S, F.IQ2_M, F.IQ1_M)
_IQ2_LARGE = (F.IQ2_S, F.IQ2_M)


@dataclass
class Mix:
    """Answers tensor by tensor, in llama-quantize's order; one instance serves one pass over a model."""

    shape: ModelShape
    file_type: F
    has_imatrix: bool = False
    seen_attn_v: int = 0
    seen_ffn_down: int = 0
    seen_ffn_gate: int = 0
    seen_ffn_up: int = 0

    def __post_init__(self) -> None:
        """Count what the rules divide by."""
        self.attn_v_count = sum(category_of(t.name) in _ATTN_V_LIKE for t in self.shape.tensors)
        shape = self.shape
        self.gqa = shape.heads // shape.kv_heads if shape.kv_heads else 0

    def type_for(self, tensor: TensorInfo) -> T:
        """The mix's type for the next quantizable tensor."""
        category = category_of(tensor.name)
        default = self.file_type.default_type
        arch = self.shape.architecture
        if arch == "glm5-next" and any(
            part in tensor.name for part in ("attn_q_a", "attn_q_b", "nextn.eh_proj")
        ):
            return T.Q8_0
        if category is Category.OUTPUT or (category is Category.TOKEN_EMBD and self.shape.tied_embeddings):
            return self._output(tensor, default)
        if self.file_type is F.MXFP4_MOE:
            return self._mxfp4_moe(tensor, category)
        if category is Category.TOKEN_EMBD:
            return self._token_embd(default)
        if self.file_type in _VERY_LOW:
            return self._very_low(category, default)
        if category in _ATTN_V_LIKE:
            return self._attn_v(default)
        if category is Category.ATTENTION_K:
            return self._attn_k(default)
        if category is Category.ATTENTION_Q:
            return {F.IQ3_XS: T.IQ3_XXS, F.IQ3_XXS: T.IQ2_S}.get(self.file_type, default)
        if category is Category.FFN_DOWN:
            return self._ffn_down(tensor, default)
        if category is Category.ATTENTION_OUTPUT:
            return self._attn_output(default)
        if category in (Category.FFN_GATE, Category.FFN_UP):
            return self._ffn_gate_up(tensor, category, default)
        return default

    def _output(self, tensor: TensorInfo, default: T) -> T:
        if self.file_type is F.MXFP4_MOE:
            return T.Q8_0
        if self.shape.architecture == "falcon" or tensor.columns % default.block_size:
            return T.Q8_0
        if self.file_type is F.IQ3_XXS or self.file_type in _VERY_LOW:
            return T.Q5_K
        return default if default is T.Q8_0 else T.Q6_K

    def _mxfp4_moe(self, tensor: TensorInfo, category: Category) -> T:
        experts = len(tensor.ne) > 2 and tensor.ne[2] > 1
        if self.shape.architecture == "bailingmoe3":
            experts &= category in (Category.FFN_UP, Category.FFN_GATE, Category.FFN_DOWN)
        return T.MXFP4 if experts else T.Q8_0

    def _token_embd(self, default: T) -> T:
        if self.file_type in (F.IQ2_XXS, F.IQ2_XS, F.IQ1_S, F.IQ1_M):
            return T.Q2_K
        if self.file_type in (*_IQ2_LARGE, F.IQ3_XXS):
            return T.IQ3_S
        if self.file_type in (F.TQ1_0, F.TQ2_0, F.Q2_0):
            return T.Q4_K
        return default

    def _very_low(self, category: Category, default: T) -> T:
        raised = T.IQ3_S if self.file_type in _IQ2_LARGE else T.Q2_K
        experts = self.shape.experts
        if category in _ATTN_V_LIKE:
            return T.Q4_K if self.gqa >= 4 or experts >= 4 else raised
        if category is Category.ATTENTION_K and experts == 8:
            return T.Q4_K
        if category is Category.FFN_DOWN:
            early = self.seen_ffn_down < self.shape.block_count // 8
            self.seen_ffn_down += 1
            return raised if early else default
        if category is Category.ATTENTION_OUTPUT:
            if experts == 8:
                return T.Q5_K
            if self.file_type in (F.IQ1_S, F.IQ1_M):
                return T.IQ2_XXS
            return T.IQ3_S if self.file_type in _IQ2_LARGE else default
        return default

    def _attn_v(self, default: T) -> T:
        chosen = self._attn_v_of_mix(default)
        if self._is_70b() and chosen in (T.Q3_K, T.Q4_K):
            chosen = T.Q5_K
        if self.shape.experts == 8:
            chosen = T.Q8_0
        self.seen_attn_v += 1
        return chosen

    def _attn_v_of_mix(self, default: T) -> T:
        shared = self.gqa >= 4
        match self.file_type:
            case F.Q2_K:
                return T.Q4_K if shared else T.Q3_K
            case F.IQ3_XXS:
                return T.Q4_K if shared else T.IQ3_XXS if self.has_imatrix else T.IQ3_S
            case F.Q2_K_S | F.IQ3_XS | F.IQ3_S if shared:
                return T.Q4_K
            case F.IQ3_M:
                return T.Q4_K
            case F.Q3_K_M:
                return T.Q5_K if self.seen_attn_v < 2 else T.Q4_K
            case F.Q3_K_L:
                return T.Q5_K
            case F.IQ4_NL | F.IQ4_XS if shared:
                return T.Q5_K
            case F.Q4_K_M | F.Q5_K_M if _more_bits(self.seen_attn_v, self.attn_v_count):
                return T.Q6_K
            case F.Q4_K_S if self.seen_attn_v < 4:
                return T.Q5_K
        return default

    def _attn_k(self, default: T) -> T:
        if self.shape.experts == 8:
            return T.Q8_0
        return {F.IQ3_XS: T.IQ3_XXS, F.IQ3_XXS: T.IQ2_S}.get(self.file_type, default)

    def _ffn_down(self, tensor: TensorInfo, default: T) -> T:
        count = self.shape.block_count
        i = self._layer_index(tensor, self.seen_ffn_down)
        self.seen_ffn_down += 1
        falcon = self.shape.architecture == "falcon"
        early, more = i < count // 8, _more_bits(i, count)
        match self.file_type:
            case F.Q2_K:
                return T.Q3_K
            case F.Q2_K_S if early:
                return T.Q4_K
            case F.IQ3_XXS if not self.has_imatrix:
                return T.Q4_K if early else T.Q3_K
            case F.Q3_K_M:
                return T.Q5_K if i < count // 16 else T.Q4_K if not falcon or more else T.Q3_K
            case F.IQ3_M if early or (self.shape.experts == 8 and more):
                return T.Q4_K
            case F.Q3_K_L:
                return T.Q4_K if falcon else T.Q5_K
            case F.Q4_K_M if falcon:
                return T.Q6_K if i < count // 16 else T.Q5_K if more else T.Q4_K
            case F.Q4_K_M | F.Q5_K_M if more:
                return T.Q6_K
            case F.IQ4_NL | F.IQ4_XS if early and not self.has_imatrix:
                return T.Q5_K
            case F.Q4_K_S if early and not falcon:
                return T.Q5_K
            case F.Q4_0 if early and self.has_imatrix:
                return T.Q4_1
            case F.Q5_0 if early and self.has_imatrix:
                return T.Q5_1
        return default

    def _attn_output(self, default: T) -> T:
        if self.shape.architecture == "falcon":
            return T.Q4_K if self.file_type is F.Q3_K_L else default
        if self.shape.experts == 8:
            return T.Q5_K if self.file_type in _EIGHT_EXPERTS_OUTPUT else default
        return _ATTN_OUTPUT.get(self.file_type, default)

    def _ffn_gate_up(self, tensor: TensorInfo, category: Category, default: T) -> T:
        if category is Category.FFN_GATE:
            i = self._layer_index(tensor, self.seen_ffn_gate)
            self.seen_ffn_gate += 1
        else:
            i = self._layer_index(tensor, self.seen_ffn_up)
            self.seen_ffn_up += 1
        count = self.shape.block_count
        inner = count // 8 <= i < 7 * count // 8
        return T.IQ3_XXS if self.file_type is F.IQ3_XS and inner else default

    def _layer_index(self, tensor: TensorInfo, seen: int) -> int:
        """The tensor's block in a model with experts, else how many of its kind came before it."""
        if self.shape.experts > 1 and tensor.block is not None:
            return tensor.block
        return seen

    def _is_70b(self) -> bool:
        """`LLM_TYPE_70B`, which llama.cpp tells from the architecture and the number of blocks."""
        shape = self.shape
        match shape.architecture:
            case "llama":
                return shape.block_count == 80 and shape.heads != shape.kv_heads
            case "qwen2" | "deci" | "olmo":
                return shape.block_count == 80
            case "jais2":
                return shape.block_count == 68
        return False


def _more_bits(i: int, count: int) -> bool:
    """`use_more_bits`: the first and last eighth, and every third block between."""
    return i < count // 8 or i >= 7 * count // 8 or (i - count // 8) % 3 == 2


_EIGHT_EXPERTS_OUTPUT = frozenset(
    (
        F.Q2_K,
        F.IQ3_XS,
        F.IQ3_XXS,
        F.Q3_K_S,
        F.Q3_K_M,
        F.IQ4_NL,
        F.Q4_K_S,
        F.Q4_K_M,
        F.IQ3_S,
        F.IQ3_M,
        F.IQ4_XS,
    )
)
_ATTN_OUTPUT = {
    F.Q2_K: T.Q3_K,
    F.IQ3_XXS: T.IQ3_S,
    F.Q3_K_M: T.Q4_K,
    F.Q3_K_L: T.Q5_K,
    F.IQ3_M: T.Q4_K,
}
