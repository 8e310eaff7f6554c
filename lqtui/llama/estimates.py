"""What types do to the output of each tensor, estimated from its weights and what flows into them.

For a weight W that multiplies inputs x, the mean squared error of the output over the tokens is, as far as
the inputs are uncorrelated, Σ_rows Σ_columns (W − Q(W))² · E[x_column²]: what llama-quantize minimises with
an importance matrix. For an embedding whose rows are looked up it is the same sum with E[x²] = 1, each row
weighted by the share of the text's tokens that look it up.

All weights are read, which is cheap beside the pass of the text. Quantizing them at every type is not, and so
errors come from a sample of large tensors. What is drawn are stretches of rows that hold whole blocks of
every type: without an importance matrix, no block depends on another; with one they do, and whole rows are
drawn. A few of them can hold most of a tensor's error, so each is drawn with a chance that follows how large
its error is likely to be, and counts in inverse proportion.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lqtui.llama import native
from lqtui.llama.activations import Activations
from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.llama.quantize import as_floats, check_values, quantized
from lqtui.llama.sources import Sources, sources_of
from lqtui.measure.importance import (
    OUTLIER_Z,
    Spread,
    Tails,
    joined,
    lim,
    outlier_share,
    spread_of,
    tails,
    zd,
)
from lqtui.recipe.imatrix import Encoding, Imatrix
from lqtui.recipe.rules import effective_types, quantizable_tensors
from lqtui.recipe.shape import TensorInfo
from lqtui.recipe.types import TensorType
from lqtui.store.estimates import BlockEstimate, OutputError, TensorEstimate

SAMPLED_WEIGHTS = 1 << 16
"""Weights of a tensor that are quantized at each type."""
_ROWS_NEED_MORE = 4
"""Whole rows vary more than stretches: so many times as many weights are quantized of them."""
_LARGEST_BLOCK = 256
"""Weights in a block of the types with the largest blocks."""
_STEP = 32
"""Weights that share a step in most types."""
_SLAB_WEIGHTS = 1 << 18
"""Weights that one thread holds as floats at a time, small enough for the processor's cache."""

Estimated = TensorEstimate | BlockEstimate


def estimate_tensors(
    base: BaseModel,
    activations: Activations,
    types: Sequence[TensorType],
    threads: int,
    sampled_weights: int = SAMPLED_WEIGHTS,
    imatrix: Imatrix | None = None,
) -> Iterator[Estimated]:
    """Estimate the quantizable tensors in the order of the file, and each block after the last of its own.

    Args:
        base: The model.
        activations: What a pass of it has seen.
        types: What may be asked for; each tensor is estimated at the effective types.
        threads: How many blocks to work on at a time.
        sampled_weights: How many weights of a tensor to quantize at each type.
        imatrix: The importance matrix by which types are quantized.

    Raises:
        EngineError: The base model's weights are infinite, undefined or far too large.
        StoreError: The importance matrix is gone or has changed.
    """
    tensors = quantizable_tensors(base.shape)
    for tensor_type in {kind for tensor in tensors for kind in effective_types(tensor, types, imatrix)}:
        native.ggml().ggml_quantize_init(tensor_type.layout.number)
    sources = sources_of(imatrix)
    work = _Work(base, activations, types, sampled_weights, imatrix, sources)
    blocks = [list(group) for _, group in groupby(tensors, lambda tensor: tensor.block)]
    waiting: deque[Future[list[Estimated]]] = deque()
    with ThreadPoolExecutor(threads) as workers:
        for block in blocks:
            waiting.append(workers.submit(work.estimate, block))
            if len(waiting) > threads:  # no more, so that a stop need not wait for long
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


class Sample(NamedTuple):
    """Things by their numbers, shape (n,), and how often each counts."""

    numbers: NDArray[np.int64]
    times: NDArray[np.float64]


def drawn(sizes: NDArray[np.float64], wanted: int) -> Sample:
    """Draw things, `wanted` of them or all that have a size, so that a sum over all can be told.

    The chance of each follows its size, and it counts as often as one over its chance; those that are large
    enough are certain. So the sum of what is like the sizes is nearly exact, and that of anything else has no
    bias. Neighbours in order of size stand for each other, which keeps what comes at even distances, such as
    a place in each head, from being drawn all or not at all. Source: Madow, "On the theory of systematic
    sampling, II", Annals of Mathematical Statistics 20, 1949.
    """
    times = np.zeros(len(sizes))
    rest = np.flatnonzero(sizes)
    while len(rest) > wanted > 0:
        step = sizes[rest].sum() / wanted
        certain = sizes[rest] >= step
        if not certain.any():
            rest = rest[np.argsort(sizes[rest], kind="stable")]
            rest = rest[np.searchsorted(np.cumsum(sizes[rest]), (np.arange(wanted) + 0.5) * step)]
            times[rest] = step / sizes[rest]
            break
        times[rest[certain]] = 1.0
        rest, wanted = rest[~certain], wanted - int(certain.sum())
    else:
        times[rest[:wanted]] = 1.0
    numbers = np.flatnonzero(times)
    return Sample(numbers, times[numbers])


class _Use:
    """One way in which a tensor is read, and what is known of its weights in it.

    The square of a weight counts by its column, and by its row's share. `power` is the sum over all weights,
    and `sizes`, shape (rows, stretches), are how large the error of each stretch is likely to be.
    """

    def __init__(self, columns: NDArray[np.float64], shares: NDArray[np.float64], stretch: int) -> None:
        self._columns = columns.astype(np.float32)
        self._shares = shares
        self._stretch = stretch
        self.power = 0.0
        self.sizes = np.zeros((len(shares), columns.shape[1] // stretch))

    def read(self, rows: slice, squares: NDArray[np.float32]) -> None:
        """Take the squares of some rows' weights.

        At a type with a step for each 32 weights, their error goes with the largest of them, squared.
        """
        columns = self._columns  # of one matrix, they count alike in all rows
        if len(columns) > 1:
            columns = columns[self._matrices(np.arange(rows.start, rows.stop))]
        shares = self._shares[rows]
        columns = np.broadcast_to(columns, squares.shape)
        self.power += float(shares @ np.einsum("rc,rc->r", squares, columns))
        starts = np.arange(0, squares.shape[1], _STEP if self._stretch % _STEP == 0 else self._stretch)
        of_steps = np.maximum.reduceat(squares, starts, axis=1) * np.add.reduceat(columns, starts, axis=1)
        sizes = of_steps.reshape(*self.sizes[rows].shape, -1).sum(axis=-1)
        self.sizes[rows] = shares[:, None] * sizes

    def weigh(self, sample: Sample, squares: NDArray[np.float32]) -> float:
        """The sum over all weights of what has these squares in the stretches of a sample."""
        rows, places = np.divmod(sample.numbers, self.sizes.shape[1])
        columns = self._columns.reshape(-1, self.sizes.shape[1], self._stretch)
        of_each = np.einsum("nc,nc->n", squares, columns[self._matrices(rows), places])
        return float((sample.times * self._shares[rows]) @ of_each)

    def _matrices(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows // (len(self._shares) // len(self._columns))


@dataclass(frozen=True)
class _Work:
    """What the estimates of all blocks have in common."""

    base: BaseModel
    activations: Activations
    types: Sequence[TensorType]
    sampled_weights: int
    imatrix: Imatrix | None
    sources: Sources

    def estimate(self, tensors: Sequence[TensorInfo]) -> list[Estimated]:
        """Estimate the tensors of a block, and the block; or one or more that are in none."""
        with np.errstate(over="ignore", invalid="ignore"):
            uses = [self._uses(tensor) for tensor in tensors]
            spreads = [self._read(tensor, of) for tensor, of in zip(tensors, uses, strict=True)]
            whole = reduce(joined, spreads)
            found: list[Estimated] = []
            of_block: list[Tails] = []
            for tensor, spread, (product, lookup) in zip(tensors, spreads, uses, strict=True):
                of_tensor = []
                for _, weights in self._slabs(tensor):
                    of_tensor.append(tails(weights, spread, OUTLIER_Z))
                    of_block.append(tails(weights, whole, 1))
                estimate = TensorEstimate(
                    tensor.name,
                    self._output_error(tensor, product),
                    self._output_error(tensor, lookup),
                    spread.excess_kurtosis,
                    outlier_share(of_tensor, spread),
                )
                _check(estimate)
                found.append(estimate)
        block = tensors[0].block
        if block is not None:
            cosine = self.activations.cosines.get(block)
            found.append(BlockEstimate(block, None if cosine is None else lim(cosine), *zd(of_block, whole)))
        return found

    def _uses(self, tensor: TensorInfo) -> tuple[_Use | None, _Use | None]:
        """How a tensor is used as a factor of products, and how it is looked up."""
        moments = self.activations.moments.get(tensor.name)
        counts = self.activations.lookups.get(tensor.name)
        stretch, alike = self._stretch(tensor), np.ones((1, tensor.columns))
        return (
            None if moments is None else _Use(moments.per_token, np.ones(tensor.rows), stretch),
            None if counts is None else _Use(alike, counts / counts.sum(), stretch),
        )

    def _read(self, tensor: TensorInfo, uses: Iterable[_Use | None]) -> Spread:
        """Read all of a tensor for its uses, and tell the spread of its weights."""
        check_values(self.base.data(tensor.name), tensor)
        spread = Spread()
        for rows, weights in self._slabs(tensor):
            spread = joined(spread, spread_of(weights))
            squares = np.square(weights)
            for use in uses:
                if use:
                    use.read(rows, squares)
        return spread

    def _slabs(self, tensor: TensorInfo) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """All weights of a tensor, some rows at a time."""
        raw = self.base.data(tensor.name).reshape(tensor.rows, -1)
        per_slab = max(1, _SLAB_WEIGHTS // tensor.columns)
        for start in range(0, tensor.rows, per_slab):
            rows = slice(start, min(start + per_slab, tensor.rows))
            yield rows, as_floats(raw[rows], tensor.type)

    def _output_error(self, tensor: TensorInfo, use: _Use | None) -> OutputError | None:
        """The errors of a tensor's types in one use, from a sample, and the power of all its weights."""
        if use is None:
            return None
        stretch = self._stretch(tensor)
        more = _ROWS_NEED_MORE if self._is_weighed(tensor) else 1
        sample = drawn(use.sizes.reshape(-1), max(1, more * self.sampled_weights // stretch))
        raw = self.base.data(tensor.name).reshape(-1, tensor.type.row_bytes(stretch))
        weights = as_floats(raw[sample.numbers], tensor.type)
        errors = {}
        for tensor_type in effective_types(tensor, self.types, self.imatrix):
            errors[tensor_type] = 0.0
            if tensor_type is not tensor.type and len(weights):
                off = self._written(tensor, tensor_type, sample, weights) - weights
                errors[tensor_type] = use.weigh(sample, np.square(off))
        return OutputError(errors, use.power)

    def _written(
        self, tensor: TensorInfo, kind: TensorType, sample: Sample, weights: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What becomes of the weights of a sample's stretches at a type."""
        encoding = self.imatrix.encoding(tensor, kind) if self.imatrix else Encoding(kind)
        importance = self.sources.importance(tensor, encoding)
        if importance is None:
            return as_floats(quantized(weights, tensor, kind), kind)
        matrices = sample.numbers // (tensor.rows // len(importance))
        written = np.empty_like(weights)
        for matrix in np.unique(matrices):
            of = matrices == matrix
            written[of] = as_floats(quantized(weights[of], tensor, kind, importance[matrix]), kind)
        return written

    def _is_weighed(self, tensor: TensorInfo) -> bool:
        return self.imatrix is not None and self.imatrix.covers(tensor)

    def _stretch(self, tensor: TensorInfo) -> int:
        """Weights in a stretch of a row: the fewest that hold whole blocks of every type that divides it.

        What is quantized by importances goes by the whole row.
        """
        shared = math.gcd(tensor.columns, _LARGEST_BLOCK)
        return tensor.columns if self._is_weighed(tensor) or shared < _STEP else shared


def _check(estimate: TensorEstimate) -> None:
    """Refuse numbers that are none: they come from weights whose squares are beyond 32 bits."""
    numbers = [estimate.excess_kurtosis, estimate.outlier_share]
    for use in (estimate.product, estimate.lookup):
        numbers += [use.power, *use.errors.values()] if use else []
    if not all(map(math.isfinite, numbers)):
        raise EngineError(
            f"{estimate.name} of the base model holds weights that are far too large to be right; "
            f"download it again"
        )
