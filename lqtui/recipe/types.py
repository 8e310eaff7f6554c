"""The ggml tensor types: names, block layout, bits per weight.

Block sizes and bytes are those of `ggml-common.h`; the names are `ggml_type_name` in upper case,
which is how model cards and llama-quantize print them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from lqtui.recipe.errors import RecipeError


class Family(StrEnum):
    """How llama.cpp's documentation groups the types."""

    FLOAT = "float"
    LEGACY = "legacy"
    K = "K-quant"
    I = "I-quant"  # noqa: E741  the family's own name
    TERNARY = "ternary"
    FP4 = "FP4"
    INTEGER = "integer"


class Layout(NamedTuple):
    """How a type is laid out: its number in ggml, weights and bytes of one block, and family."""

    number: int
    block_size: int
    block_bytes: int
    family: Family


class TensorType(StrEnum):
    """A ggml tensor type, by the name that llama.cpp prints."""

    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    Q8_0 = "Q8_0"
    Q6_K = "Q6_K"
    Q5_1 = "Q5_1"
    Q5_K = "Q5_K"
    Q5_0 = "Q5_0"
    Q4_1 = "Q4_1"
    Q4_K = "Q4_K"
    Q4_0 = "Q4_0"
    IQ4_NL = "IQ4_NL"
    NVFP4 = "NVFP4"
    IQ4_XS = "IQ4_XS"
    MXFP4 = "MXFP4"
    Q3_K = "Q3_K"
    IQ3_S = "IQ3_S"
    IQ3_XXS = "IQ3_XXS"
    Q2_K = "Q2_K"
    IQ2_S = "IQ2_S"
    IQ2_XS = "IQ2_XS"
    Q2_0 = "Q2_0"
    IQ2_XXS = "IQ2_XXS"
    TQ2_0 = "TQ2_0"
    IQ1_M = "IQ1_M"
    TQ1_0 = "TQ1_0"
    IQ1_S = "IQ1_S"
    Q1_0 = "Q1_0"
    # Never a target of quantization, but a file may hold them.
    I8 = "I8"
    I16 = "I16"
    I32 = "I32"
    I64 = "I64"
    F64 = "F64"

    @property
    def layout(self) -> Layout:
        """The type's block layout."""
        return _LAYOUT[self]

    @property
    def block_size(self) -> int:
        """Weights in one block; a tensor's rows must be divisible by it."""
        return _LAYOUT[self].block_size

    @property
    def bits_per_weight(self) -> float:
        """Bits that one weight takes, block scales included."""
        layout = _LAYOUT[self]
        return 8 * layout.block_bytes / layout.block_size

    @property
    def is_quantized(self) -> bool:
        """Whether ggml counts the type as quantized: neither a float nor an integer type."""
        return _LAYOUT[self].family not in (Family.FLOAT, Family.INTEGER)

    @property
    def needs_imatrix(self) -> bool:
        """Whether llama-quantize refuses the type for a block's tensor without an importance matrix."""
        return self in _NEEDS_IMATRIX

    @property
    def impossible_without_imatrix(self) -> bool:
        """Whether ggml itself cannot quantize any tensor to the type without an importance matrix."""
        return self in (TensorType.IQ2_XXS, TensorType.IQ2_XS, TensorType.IQ1_S)

    @property
    def uses_imatrix(self) -> bool:
        """Whether an importance matrix changes what ggml writes at the type."""
        return self.is_quantized and self not in _IGNORES_IMATRIX

    def row_bytes(self, columns: int) -> int:
        """Bytes of one row of `columns` weights, which the block size must divide."""
        layout = _LAYOUT[self]
        return columns // layout.block_size * layout.block_bytes


_F, _L, _K, _I = Family.FLOAT, Family.LEGACY, Family.K, Family.I
_LAYOUT: dict[TensorType, Layout] = {
    TensorType.F32: Layout(0, 1, 4, _F),
    TensorType.F16: Layout(1, 1, 2, _F),
    TensorType.BF16: Layout(30, 1, 2, _F),
    TensorType.Q8_0: Layout(8, 32, 34, _L),
    TensorType.Q6_K: Layout(14, 256, 210, _K),
    TensorType.Q5_1: Layout(7, 32, 24, _L),
    TensorType.Q5_K: Layout(13, 256, 176, _K),
    TensorType.Q5_0: Layout(6, 32, 22, _L),
    TensorType.Q4_1: Layout(3, 32, 20, _L),
    TensorType.Q4_K: Layout(12, 256, 144, _K),
    TensorType.Q4_0: Layout(2, 32, 18, _L),
    TensorType.IQ4_NL: Layout(20, 32, 18, _I),
    TensorType.NVFP4: Layout(40, 64, 36, Family.FP4),
    TensorType.IQ4_XS: Layout(23, 256, 136, _I),
    TensorType.MXFP4: Layout(39, 32, 17, Family.FP4),
    TensorType.Q3_K: Layout(11, 256, 110, _K),
    TensorType.IQ3_S: Layout(21, 256, 110, _I),
    TensorType.IQ3_XXS: Layout(18, 256, 98, _I),
    TensorType.Q2_K: Layout(10, 256, 84, _K),
    TensorType.IQ2_S: Layout(22, 256, 82, _I),
    TensorType.IQ2_XS: Layout(17, 256, 74, _I),
    TensorType.Q2_0: Layout(42, 64, 18, _L),
    TensorType.IQ2_XXS: Layout(16, 256, 66, _I),
    TensorType.TQ2_0: Layout(35, 256, 66, Family.TERNARY),
    TensorType.IQ1_M: Layout(29, 256, 56, _I),
    TensorType.TQ1_0: Layout(34, 256, 54, Family.TERNARY),
    TensorType.IQ1_S: Layout(19, 256, 50, _I),
    TensorType.Q1_0: Layout(41, 128, 18, _L),
    TensorType.I8: Layout(24, 1, 1, Family.INTEGER),
    TensorType.I16: Layout(25, 1, 2, Family.INTEGER),
    TensorType.I32: Layout(26, 1, 4, Family.INTEGER),
    TensorType.I64: Layout(27, 1, 8, Family.INTEGER),
    TensorType.F64: Layout(28, 1, 8, Family.INTEGER),
}

_NEEDS_IMATRIX = frozenset(
    {
        TensorType.IQ3_XXS,
        TensorType.IQ2_XXS,
        TensorType.IQ2_XS,
        TensorType.IQ2_S,
        TensorType.IQ1_M,
        TensorType.IQ1_S,
    }
)

_IGNORES_IMATRIX = frozenset(
    {
        TensorType.Q8_0,
        TensorType.Q2_0,
        TensorType.Q1_0,
        TensorType.TQ2_0,
        TensorType.TQ1_0,
        TensorType.MXFP4,
        TensorType.NVFP4,
    }
)

TARGET_TYPES: tuple[TensorType, ...] = tuple(t for t in TensorType if _LAYOUT[t].family is not Family.INTEGER)
"""Every type that llama-quantize can write, from the most bits per weight to the fewest."""

_BY_NUMBER = {layout.number: tensor_type for tensor_type, layout in _LAYOUT.items()}


def type_from_number(number: int) -> TensorType:
    """The type with ggml's number; RecipeError for one that this version does not know."""
    try:
        return _BY_NUMBER[number]
    except KeyError:
        raise RecipeError(f"ggml tensor type {number} is not known to this version of lqtui") from None


def parse_type(text: str) -> TensorType:
    """The type that a person named, in any case and by the usual short names (Q8, Q4, FP16)."""
    name = text.strip().upper()
    name = _SHORT_NAMES.get(name, name)
    if name in TARGET_TYPES:
        return TensorType(name)
    known = ", ".join(TARGET_TYPES)
    raise RecipeError(f"unknown tensor type {text.strip()!r}; llama-quantize writes: {known}")


_SHORT_NAMES = {"FP32": "F32", "FP16": "F16", "Q8": "Q8_0", "Q4": "Q4_0"}
