"""Where the simple types write the scale of a block.

Sources: the `block_…` structures in ggml-common.h and `dequantize_row_…` in ggml-quants.c.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lqtui.recipe.types import TensorType


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
