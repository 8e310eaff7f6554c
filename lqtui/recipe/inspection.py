"""What is seen when a tensor is inspected: how its weights spread, and what a type makes of them."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec

from lqtui.recipe.types import TensorType


class Histogram(msgspec.Struct, frozen=True):
    """Counts in bins of one width from `low` to `high`, and how many lie beyond either end."""

    low: float
    high: float
    counts: list[int]
    below: int = 0
    above: int = 0

    @property
    def centres(self) -> list[float]:
        """The middle of each bin."""
        width = (self.high - self.low) / len(self.counts)
        return [self.low + (index + 0.5) * width for index in range(len(self.counts))]


class WeightStatistics(msgspec.Struct, frozen=True):
    """How all weights of a tensor spread; `outliers` of them are over three deviations from their mean."""

    weights: int
    mean: float
    deviation: float
    least: float
    greatest: float
    excess_kurtosis: float
    outliers: int
    histogram: Histogram

    @property
    def outlier_share(self) -> float:
        """The share of weights over three deviations from the mean: 0.27 % of normally distributed ones."""
        return self.outliers / self.weights


class QuantizationError(msgspec.Struct, frozen=True):
    """What a type does to weights: root mean square and greatest error, over so many of them.

    `signal` is the root mean square of the weights themselves.
    """

    weights: int
    rmse: float
    signal: float
    greatest: float

    @property
    def relative(self) -> float:
        """The root mean square of the error as a share of that of the weights."""
        return self.rmse / self.signal if self.signal else 0.0

    @property
    def snr(self) -> float:
        """The signal-to-noise ratio in decibels, infinite where nothing is lost."""
        return -20 * math.log10(self.relative) if self.relative else math.inf


class BlockValues(msgspec.Struct, frozen=True):
    """Weights that share a scale, what becomes of each, and the values that there are for them.

    `number` counts such runs of weights through the tensor. Where `are_decoded`, the levels are all that the
    block's scale allows, decoded from its layout; else they are the values that occur in it.
    """

    number: int
    weights: tuple[float, ...]
    values: tuple[float, ...]
    levels: tuple[float, ...]
    are_decoded: bool
    scale: float
    minimum: float

    @property
    def used(self) -> frozenset[float]:
        """The levels that some weight takes."""
        return frozenset(min(self.levels, key=lambda level: abs(level - value)) for value in self.values)

    @property
    def step(self) -> float:
        """The least distance of two levels; 0 where there is one only."""
        return min((after - before for before, after in pairwise(self.levels)), default=0.0)


class InspectedType(msgspec.Struct, frozen=True):
    """What a type makes of a tensor.

    `run` weights share a scale; it is 0 for floats, which have none. Of the window that was asked for,
    `values` are what becomes of its weights, and `scales` and `minimums` those of its runs, as float32.
    A level is scale · code + minimum, with the `codes` of the type's layout; without codes, where the layout
    is not decoded, a run's scale is its greatest value. `spread` is how the scales of all runs spread.
    """

    type: TensorType
    error: QuantizationError
    run: int
    codes: tuple[float, ...]
    values: bytes
    scales: bytes
    minimums: bytes
    spread: Histogram | None


class InspectedTensor(msgspec.Struct, frozen=True):
    """A tensor's weights: how all of them spread, and a window of them from `first` on, as float32."""

    statistics: WeightStatistics
    first: int
    window: bytes


def block_values(tensor: InspectedTensor, inspected: InspectedType, number: int) -> BlockValues | None:
    """One run of weights at a type; None where the window does not hold it, or the type has no runs."""
    run = inspected.run
    start = number * run - tensor.first
    weights = memoryview(tensor.window).cast("f")
    if not run or start < 0 or start + run > len(weights):
        return None
    values = tuple(memoryview(inspected.values).cast("f")[start : start + run])
    scale = memoryview(inspected.scales).cast("f")[start // run]
    minimum = memoryview(inspected.minimums).cast("f")[start // run]
    levels = {scale * code + minimum for code in inspected.codes} or set(values)
    return BlockValues(
        number,
        tuple(weights[start : start + run]),
        values,
        tuple(sorted(levels)),
        bool(inspected.codes),
        scale,
        minimum,
    )
