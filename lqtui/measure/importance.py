"""Cheap signs of what matters in a model: how far a block turns what it is given, and how its weights spread.

Each says something of a block or a tensor without any evaluation of a recipe, and none measures the damage
that a recipe does: `rank_correlation` tells how far they agree with what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

OUTLIER_Z = 6.0
"""Weights further than this many standard deviations from their tensor's mean are outliers.

Of normally distributed weights two in a billion are."""


class WeightRows(NamedTuple):
    """Rows of a tensor, shape (rows, columns), each of which stands for `times` rows of it, shape (rows,)."""

    weights: NDArray[np.float32]
    times: NDArray[np.float64]


class ZScoreShares(NamedTuple):
    """The shares of a block's weights with z > 1 and with |z| > 1, where z = (w − mean) / standard deviation.

    Both are called ZD: the paper's formula is the first, and its words, weights that are "much larger than
    average", are also read as the second.
    """

    one_sided: float
    two_sided: float


class WeightSpread(NamedTuple):
    """How a tensor's weights spread: excess kurtosis, and the share of outliers."""

    excess_kurtosis: float
    outlier_share: float


def token_cosines(given: NDArray[np.float32], gives: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine similarity of what a block is given and what it gives, for each token.

    Args:
        given: Hidden states before the block, shape (tokens, width).
        gives: Hidden states after it, of the same shape.

    Returns:
        Shape (tokens,): 0 where either is all zeros, not a number where either is infinite or not a number.
    """
    a, b = given.astype(np.float64), gives.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products: NDArray[np.float64] = np.einsum("ij,ij->i", a, b)
    with np.errstate(invalid="ignore"):
        return products / np.where(lengths == 0, 1.0, lengths)


def lim(cosine: float) -> float:
    """A block's layer input modification: the higher, the further it turns its tokens, the more it matters.

    −cosine(input, output), averaged over tokens. Source: Dumitru et al., "Layer-Wise Quantization", 2024,
    arXiv:2406.17415, section 3.1.
    """
    return -cosine


def zd(pieces: Callable[[], Iterable[WeightRows]]) -> ZScoreShares:
    """A block's z-score distribution: the lower, the more the block matters.

    Mean and standard deviation are those of all weights of the block together. Source: Dumitru et al., 2024,
    arXiv:2406.17415, section 3.2.

    Args:
        pieces: Gives the block's weights piece by piece; it is called twice.

    Returns:
        Zeros where all weights are equal.
    """
    mean, deviation = _mean_and_deviation(pieces)
    above = below = total = 0.0
    for weights, times in pieces():
        above += float(times @ np.count_nonzero(weights > mean + deviation, axis=1))
        below += float(times @ np.count_nonzero(weights < mean - deviation, axis=1))
        total += float(times.sum()) * weights.shape[1]
    return ZScoreShares(above / total, (above + below) / total)


def weight_spread(rows: WeightRows) -> WeightSpread:
    """How heavy the tails of a tensor's weights are.

    Excess kurtosis is m₄ / m₂² − 3 with the central moments over all weights: 0 for a normal distribution,
    and the higher, the more the largest weights stand out, which set the steps of the types. An outlier lies
    more than OUTLIER_Z standard deviations from the mean. Both are 0 where all weights are equal.
    """
    weights, times = rows
    mean, deviation = _mean_and_deviation(lambda: [rows])
    if not deviation:
        return WeightSpread(0.0, 0.0)
    squares = np.square((weights - np.float32(mean)) / np.float32(deviation))
    total = float(times.sum()) * weights.shape[1]
    second = float(times @ squares.sum(axis=1, dtype=np.float64)) / total
    fourth = float(times @ np.square(squares).sum(axis=1, dtype=np.float64)) / total
    outliers = float(times @ np.count_nonzero(squares > OUTLIER_Z**2, axis=1)) / total
    return WeightSpread(fourth / second**2 - 3, outliers)


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's ρ of two rankings of the same things: 1 where they agree, −1 where one is reversed.

    Pearson's correlation of the ranks, where equal values share the mean of the ranks that they take; without
    ties that is 1 − 6 Σd² / (n(n² − 1)), with d the differences of ranks. Source: Spearman, "The proof and
    measurement of association between two things", American Journal of Psychology 15, 1904; for ties Kendall,
    "Rank Correlation Methods", 1948, chapter 3.

    Returns:
        Not a number where all values of one are equal, where any is not a number, or with fewer than two.

    Raises:
        ValueError: The two are not equally long.
    """
    values = [np.asarray(x, np.float64).reshape(-1) for x in (a, b)]
    if len(values[0]) != len(values[1]):
        raise ValueError(f"{len(values[0])} values cannot be ranked beside {len(values[1])}")
    if len(values[0]) < 2 or any(np.isnan(x).any() for x in values):
        return math.nan
    x, y = (_ranks(of) - (len(of) + 1) / 2 for of in values)
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread else math.nan


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rank of each value, 1 for the lowest; equal values share the mean of theirs."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    ranks: NDArray[np.float64] = (last - (sizes - 1) / 2)[group]
    return ranks


def _mean_and_deviation(pieces: Callable[[], Iterable[WeightRows]]) -> tuple[float, float]:
    """Mean and standard deviation over all weights of all pieces, by Chan's formula for joining two sets.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979.
    """
    total = mean = squares = 0.0
    for weights, times in pieces():
        count = float(times.sum()) * weights.shape[1]
        own = float(times @ weights.sum(axis=1, dtype=np.float64)) / count
        centred = weights - np.float32(own)
        own_squares = float(times @ np.einsum("ij,ij->i", centred, centred, dtype=np.float64))
        off = own - mean
        squares += own_squares + off * off * total * count / (total + count)
        mean += off * count / (total + count)
        total += count
    return mean, math.sqrt(squares / total)
