"""How the simple types write a block, and over how many weights each type has one scale.

Sources: the `block_…` structures in ggml-common.h and `dequantize_row_…` in ggml-quants.c.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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


class Scales(NamedTuple):
    """The scale and the minimum of each block, shape (blocks,); minimums are 0 where the type has none."""

    scales: NDArray[np.float32]
    minimums: NDArray[np.float32]


def scales_of(raw: NDArray[np.uint8], tensor_type: TensorType) -> Scales:
    """The scales that blocks of a type in `CODES` hold, from rows of their bytes."""
    blocks = np.ascontiguousarray(raw).reshape(-1, tensor_type.layout.block_bytes)
    none = np.zeros(len(blocks), np.float32)
    if tensor_type is TensorType.MXFP4:
        return Scales(np.ldexp(np.float32(1), blocks[:, 0].astype(np.int32) - 128), none)
    scales = blocks[:, :2].copy().view(np.float16)[:, 0].astype(np.float32)
    if tensor_type in (TensorType.Q4_1, TensorType.Q5_1):
        return Scales(scales, blocks[:, 2:4].copy().view(np.float16)[:, 0].astype(np.float32))
    return Scales(scales, none)


def greatest_of_runs(values: NDArray[np.float32], run: int) -> Scales:
    """What stands for the scales of types whose layout is not decoded: the greatest value of each run."""
    greatest = np.abs(values.reshape(-1, run)).max(axis=1)
    return Scales(greatest, np.zeros_like(greatest))
