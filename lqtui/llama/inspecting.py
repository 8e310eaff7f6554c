"""Inspect a tensor: how its weights spread, and what llama.cpp's own quantization to a type makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lqtui.llama import native
from lqtui.llama.block_layouts import Scales, greatest_of_runs, scales_of
from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.llama.quantize import as_floats, check_values, quantized
from lqtui.llama.sources import NO_SOURCES, Sources
from lqtui.measure.importance import Spread, joined, spread_of, tails
from lqtui.recipe.block_codes import CODES, RUNS
from lqtui.recipe.imatrix import Encoding
from lqtui.recipe.inspection import (
    Histogram,
    InspectedTensor,
    InspectedType,
    QuantizationError,
    WeightStatistics,
)
from lqtui.recipe.shape import TensorInfo

OUTLIER_Z = 3.0
_REACH = 4.0
"""Deviations from the mean that a histogram of weights shows."""
_BINS = 120
_SLAB_WEIGHTS = 1 << 18
_ALIGNED = 256
"""A window begins where blocks of every type can: they have at most so many weights."""


def inspect_tensor(base: BaseModel, tensor: TensorInfo, first: int, size: int) -> InspectedTensor:
    """Read all weights of a tensor, and keep a window of about `size` of them around the one at `first`."""
    check_values(base.data(tensor.name), tensor)
    spread, least, greatest = Spread(), np.inf, -np.inf
    for _, weights in _slabs(base, tensor):
        with np.errstate(over="ignore", invalid="ignore"):  # which is refused below
            spread = joined(spread, spread_of(weights))
        least, greatest = min(least, float(weights.min())), max(greatest, float(weights.max()))
    if not np.isfinite((spread.deviation, spread.excess_kurtosis)).all():
        raise EngineError(
            f"{tensor.name} of the base model holds weights up to {max(-least, greatest):.2g}, too large to "
            f"count with; download it again"
        )
    reach = _REACH * spread.deviation
    low, high = _ends(max(least, spread.mean - reach), min(greatest, spread.mean + reach))
    outliers, counts = 0, np.zeros(_BINS, np.int64)
    below = above = 0
    for _, weights in _slabs(base, tensor):
        outliers += sum(tails(weights, spread, OUTLIER_Z))
        part = _histogram(weights, low, high)
        counts += part.counts
        below, above = below + part.below, above + part.above
    statistics = WeightStatistics(
        tensor.n_weights,
        spread.mean,
        spread.deviation,
        least,
        greatest,
        spread.excess_kurtosis,
        outliers,
        Histogram(low, high, counts.tolist(), below, above),
    )
    window = _window(tensor, first, size)
    return InspectedTensor(statistics, window.start, _flat(base, tensor, window).tobytes())


class _Part(NamedTuple):
    """What a type makes of some rows."""

    squares: float
    signal: float
    greatest: float
    scales: NDArray[np.float32]


def inspect_type(
    base: BaseModel,
    tensor: TensorInfo,
    encoding: Encoding,
    first: int,
    size: int,
    *,
    sampled: int = 0,
    threads: int = 1,
    sources: Sources = NO_SOURCES,
) -> InspectedType:
    """Quantize a tensor's weights, and tell what becomes of them and of a window of them.

    Args:
        base: The model.
        tensor: The tensor, whose rows divide into the type's blocks.
        encoding: The type, and by which importance matrix, or copied from which file.
        first: A weight that the window is to hold.
        size: About how many weights the window has.
        sampled: Errors are told over about so many weights, of rows at even distances; 0 is all of them.
        threads: How many slabs of rows to work on at a time.
        sources: Where the importance matrix or the file is.

    Raises:
        EngineError: The type cannot be written, or not copied.
    """
    native.ggml().ggml_quantize_init(encoding.type.layout.number)
    quantize = _Quantize(base, tensor, encoding, sources)
    with ThreadPoolExecutor(threads) as workers:
        parts = list(workers.map(quantize.part, _sampled_rows(tensor, sampled)))
    squares, signal = sum(part.squares for part in parts), sum(part.signal for part in parts)
    weights = sum(len(rows) for rows in _sampled_rows(tensor, sampled)) * tensor.columns
    error = QuantizationError(
        weights,
        float(np.sqrt(squares / weights)),
        float(np.sqrt(signal / weights)),
        max(part.greatest for part in parts),
    )
    window = _window(tensor, first, size)
    rows = np.arange(window.start // tensor.columns, -(-window.stop // tensor.columns))
    values, scales = quantize.rows(rows)
    start = int(rows[0]) * tensor.columns
    run = RUNS.get(encoding.type, 0)
    runs = slice((window.start - start) // run, (window.stop - start) // run) if run else slice(0, 0)
    of_all = np.abs(np.concatenate([part.scales for part in parts]))
    spread = _histogram(of_all, *_ends(0.0, float(of_all.max()))) if run else None
    return InspectedType(
        encoding.type,
        error,
        run,
        tuple(float(code) for code in CODES.get(encoding.type, ())),
        values.reshape(-1)[window.start - start : window.stop - start].tobytes(),
        scales.scales[runs].tobytes(),
        scales.minimums[runs].tobytes(),
        spread,
    )


class _Quantize:
    """Rows of one tensor in one encoding."""

    def __init__(
        self,
        base: BaseModel,
        tensor: TensorInfo,
        encoding: Encoding,
        sources: Sources,
    ) -> None:
        self._raw = base.data(tensor.name).reshape(tensor.rows, -1)
        self._tensor = tensor
        self._type = encoding.type
        self._importance = sources.importance(tensor, encoding)
        copied = sources.copied(base, tensor, encoding)
        self._copied = None if copied is None else copied.reshape(tensor.rows, -1)

    def part(self, rows: NDArray[np.int64]) -> _Part:
        """The errors and scales of some rows."""
        weights = as_floats(self._raw[rows], self._tensor.type)
        values, scales = self.rows(rows)
        off = values - weights
        return _Part(
            float(np.square(off, dtype=np.float64).sum()),
            float(np.square(weights, dtype=np.float64).sum()),
            float(np.abs(off).max()),
            scales.scales,
        )

    def rows(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], Scales]:
        """What becomes of the weights of some rows, shape (rows, columns), and the scales of their runs."""
        weights = np.ascontiguousarray(as_floats(self._raw[rows], self._tensor.type))
        run = RUNS.get(self._type, 0)
        if self._type is self._tensor.type:
            raw, values = self._raw[rows], weights
        else:
            raw = self._quantized(rows, weights)
            values = as_floats(raw, self._type)
        if self._type in CODES:
            return values, scales_of(raw, self._type)
        return values, greatest_of_runs(values, run) if run else _NO_SCALES

    def _quantized(self, rows: NDArray[np.int64], weights: NDArray[np.float32]) -> NDArray[np.uint8]:
        if self._copied is not None:
            return self._copied[rows]
        if self._importance is None:
            return quantized(weights, self._tensor, self._type)
        matrix = rows // (self._tensor.rows // len(self._importance))
        of_each = [
            quantized(np.ascontiguousarray(weights[matrix == each]), self._tensor, self._type, importance)
            for each, importance in enumerate(self._importance)
            if (matrix == each).any()
        ]
        return np.concatenate(of_each)  # rows are in order, and so are their matrices


_NO_SCALES = Scales(np.zeros(0, np.float32), np.zeros(0, np.float32))


def _window(tensor: TensorInfo, first: int, size: int) -> slice:
    """About `size` weights around the one at `first`, from where blocks of every type can begin."""
    start = max(0, min(first, tensor.n_weights - 1) - size // 2) // _ALIGNED * _ALIGNED
    return slice(start, min(start + -(-size // _ALIGNED) * _ALIGNED, tensor.n_weights))


def _flat(base: BaseModel, tensor: TensorInfo, window: slice) -> NDArray[np.float32]:
    """A stretch of a tensor's weights, one row after the other."""
    first = window.start // tensor.columns
    raw = base.data(tensor.name).reshape(tensor.rows, -1)[first : -(-window.stop // tensor.columns)]
    start = first * tensor.columns
    return as_floats(raw, tensor.type).reshape(-1)[window.start - start : window.stop - start]


def _sampled_rows(tensor: TensorInfo, sampled: int) -> list[NDArray[np.int64]]:
    """Rows at even distances, slab by slab; all rows where 0 weights are asked for."""
    count = min(tensor.rows, max(1, sampled // tensor.columns)) if sampled else tensor.rows
    rows = np.arange(count, dtype=np.int64) * tensor.rows // count
    per_slab = max(1, _SLAB_WEIGHTS // tensor.columns)
    return [rows[start : start + per_slab] for start in range(0, count, per_slab)]


def _slabs(base: BaseModel, tensor: TensorInfo) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    raw = base.data(tensor.name).reshape(tensor.rows, -1)
    per_slab = max(1, _SLAB_WEIGHTS // tensor.columns)
    for start in range(0, tensor.rows, per_slab):
        rows = slice(start, min(start + per_slab, tensor.rows))
        yield rows, as_floats(raw[rows], tensor.type)


def _ends(low: float, high: float) -> tuple[float, float]:
    """The ends of a histogram: far enough apart for 32 bits to tell its bins apart."""
    least = 1e-4 * max(abs(low), abs(high)) or 1e-9
    widened = max(0.0, least - (high - low)) / 2
    return low - widened, high + widened


def _histogram(values: NDArray[np.float32], low: float, high: float) -> Histogram:
    counts, _ = np.histogram(values, _BINS, (low, high))
    return Histogram(
        low,
        high,
        counts.tolist(),
        int(np.count_nonzero(values < low)),
        int(np.count_nonzero(values > high)),
    )
