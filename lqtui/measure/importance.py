"""Cheap signs of what matters in a model: how far a block turns what it is given, and how its weights spread.

Each says something of a block or a tensor without any evaluation of a recipe, and none measures the damage
that a recipe does: `rank_correlation` tells how far they agree with what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

OUTLIER_Z = 6.0
"""Weights further than this many standard deviations from their tensor's mean are outliers.

Of normally distributed weights two in a billion are."""


class Spread(NamedTuple):
    """How weights spread: their number and mean, and the sums of powers 2 to 4 of their distance from it."""

    size: int = 0
    mean: float = 0.0
    second: float = 0.0
    third: float = 0.0
    fourth: float = 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation of the weights."""
        return math.sqrt(self.second / self.size)

    @property
    def excess_kurtosis(self) -> float:
        """m₄ / m₂² − 3 with the central moments: 0 for a normal distribution, or where all weights are equal.

        The higher it is, the more the largest weights stand out, and they set the steps of the types.
        """
        return self.size * self.fourth / self.second**2 - 3 if self.second else 0.0


class Tails(NamedTuple):
    """How many weights lie further below, and above, a mean than a number of standard deviations."""

    below: int
    above: int


class ZScoreShares(NamedTuple):
    """The shares of a block's weights with z > 1 and with |z| > 1, where z = (w − mean) / standard deviation.

    Both are called ZD: the paper's formula is the first, and its words, weights that are "much larger than
    average", are also read as the second.
    """

    one_sided: float
    two_sided: float


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


def spread_of(weights: NDArray[np.float32]) -> Spread:
    """The spread of weights of any shape, of which there is at least one."""
    rows = weights.reshape(-1, weights.shape[-1])
    mean = float(rows.mean(dtype=np.float64))
    off = rows - np.float32(mean)
    squares = np.square(off)
    second = squares.sum(axis=1).sum(dtype=np.float64)
    third, fourth = (np.einsum("ij,ij->i", squares, of).sum(dtype=np.float64) for of in (off, squares))
    return Spread(weights.size, mean, float(second), float(third), float(fourth))


def joined(a: Spread, b: Spread) -> Spread:
    """The spread of two sets of weights together.

    Source: Pébay, "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
    statistical moments", Sandia Report SAND2008-6212, 2008, equations 2.1 and 3.1.
    """
    if not a.size or not b.size:
        return a if a.size else b
    n, off = a.size + b.size, b.mean - a.mean
    p, q = a.size / n, b.size / n
    second = a.second + b.second + off**2 * n * p * q
    third = a.third + b.third + off**3 * n * p * q * (p - q) + 3 * off * (p * b.second - q * a.second)
    fourth = (
        a.fourth
        + b.fourth
        + off**4 * n * p * q * (p * p - p * q + q * q)
        + 6 * off**2 * (p * p * b.second + q * q * a.second)
        + 4 * off * (p * b.third - q * a.third)
    )
    return Spread(n, a.mean + off * q, second, third, fourth)


def tails(weights: NDArray[np.float32], spread: Spread, z: float) -> Tails:
    """How many weights have z-scores below −z and above z, with the mean and deviation of a spread."""
    reach = z * spread.deviation
    below, above = spread.mean - reach, spread.mean + reach
    return Tails(int(np.count_nonzero(weights < below)), int(np.count_nonzero(weights > above)))


def outlier_share(of_tensor: Iterable[Tails], spread: Spread) -> float:
    """The share of a tensor's weights with |z| > OUTLIER_Z, from the tails of its pieces at that z."""
    return sum(below + above for below, above in of_tensor) / spread.size


def zd(of_block: Iterable[Tails], spread: Spread) -> ZScoreShares:
    """A block's z-score distribution: the lower, the more the block matters.

    Mean and standard deviation are those of all weights of the block together. Source: Dumitru et al., 2024,
    arXiv:2406.17415, section 3.2.

    Args:
        of_block: The tails of the block's pieces at z = 1.
        spread: That of the whole block.
    """
    counted = list(of_block)
    above = sum(tail.above for tail in counted)
    below = sum(tail.below for tail in counted)
    return ZScoreShares(above / spread.size, (above + below) / spread.size)


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
