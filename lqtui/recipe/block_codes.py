"""What a weight can be in a block of the simple types, and over how many weights each type has one scale.

Sources: the `block_…` structures in ggml-common.h and `dequantize_row_…` in ggml-quants.c.
"""

from __future__ import annotations

from lqtui.recipe.types import TensorType

_NONLINEAR = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
_FP4 = (0, 1, 2, 3, 4, 6, 8, 12)
"""Twice the values of E2M1, as ggml keeps them; its scales are halved for that."""

CODES: dict[TensorType, tuple[float, ...]] = {
    TensorType.Q8_0: tuple(range(-128, 128)),
    TensorType.Q5_1: tuple(range(32)),
    TensorType.Q5_0: tuple(range(-16, 16)),
    TensorType.Q4_1: tuple(range(16)),
    TensorType.Q4_0: tuple(range(-8, 8)),
    TensorType.IQ4_NL: _NONLINEAR,
    TensorType.MXFP4: (*(-code for code in reversed(_FP4[1:])), *_FP4),
    TensorType.Q2_0: (-1, 0, 1, 2),
    TensorType.Q1_0: (-1, 1),
}
"""What a weight of these types can be: one of these numbers times the block's scale, plus its minimum."""

RUNS: dict[TensorType, int] = {
    **{tensor_type: tensor_type.block_size for tensor_type in CODES},
    TensorType.Q6_K: 16,
    TensorType.Q5_K: 32,
    TensorType.Q4_K: 32,
    TensorType.Q3_K: 16,
    TensorType.Q2_K: 16,
    TensorType.IQ4_XS: 32,
    TensorType.IQ3_S: 32,
    TensorType.IQ3_XXS: 32,
    TensorType.IQ2_S: 16,
    TensorType.IQ2_XS: 16,
    TensorType.IQ2_XXS: 32,
    TensorType.IQ1_M: 16,
    TensorType.IQ1_S: 32,
    TensorType.NVFP4: 16,
    TensorType.TQ2_0: 256,
    TensorType.TQ1_0: 256,
}
"""Over how many weights each type has one scale: a block, or a part of one with a scale of its own."""
