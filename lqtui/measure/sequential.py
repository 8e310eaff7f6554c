"""Which of two recipes is better, told as soon as it is clear while chunks are still being measured."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lqtui.measure.paired import (
    Interval,
    Quantity,
    Scores,
    Verdict,
    chunk_differences,
    chunks_until_clear,
    deciding_quantity,
    mean_and_sd,
)

_EFFECTS = np.array([0.5, 2.0, 8.0])
"""Standard deviations of the effects that the test is made for, in units of a chunk's.

One is for small differences, one for those that 6 chunks show, one for those that are clear after 3."""


@dataclass(frozen=True)
class Look:
    """What the chunks so far say of a recipe less another one."""

    chunks: int
    decided_on: Quantity
    difference: Interval
    """Difference of mean KLD or NLL, in nats.

    The intervals of all looks hold the truth, all at once, with the confidence that was asked for."""
    verdict: Verdict
    decided_after: int | None
    """The number of chunks after which the verdict stood, for good; None as long as one cannot tell."""
    chunks_to_go: int | None
    """As in `lqtui.measure.paired.Comparison`."""


def look(recipe: Scores, other: Scores, confidence: float = 0.95) -> Look:
    """Compare a recipe with another one, as often as one likes, after each chunk or whenever.

    At a confidence of 95 %, of 100 pairs of equal recipes at most 5 ever get a verdict, although one looks
    after every chunk and stops at the first verdict. The fixed test of `compare`, looked at like that,
    would find a difference in some 40 of them within 100 chunks.

    The test is the t-test martingale with a normal mixture over the effect. It is exact for normal means of
    chunks whatever their variance, however few they are, and with no last chunk to plan for. With S the sum
    of the n chunks' mean differences, V the sum of their squares and 1/c the effect's standard deviation,

        E = √(c² / (n + c²)) · (1 − S² / ((n + c²) V))^(−n/2)

    has the expectation 1 whenever one stops, if there is no difference, and so reaches 20 with a
    probability of 1/20 at most (Ville's inequality). So does the mean of several such, each for effects of
    another size. Source: Wang and Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian
    means with unknown variance", 2023, arXiv:2310.03722, after Lai, "On confidence sequences", Annals of
    Statistics 4, 1976.

    Preferred to bets on bounded means (Waudby-Smith and Ramdas, 2020, arXiv:2010.09686), as KLD has no
    bound; to asymptotic confidence sequences (Waudby-Smith et al., 2021, arXiv:2103.06476), which trust the
    spread that two or three chunks have; and to alpha-spending, which ends at a chunk named beforehand.
    What is assumed is that the means of chunks are about normal. Differences of the pairs of real recipes
    that `compare` tells of, centred, resampled up to 100 chunks and looked at after each, got a false verdict
    in 3 % of all cases, and in up to 8 % for pairs where one chunk stands far out (skewness 2.4).

    Args:
        recipe: The scores of the recipe that the verdict is on.
        other: The scores of the other, of the same chunks, in the order in which they were measured.
        confidence: 0 to 1.

    Raises:
        ValueError: The two have not the same chunks.
    """
    quantity = deciding_quantity(recipe, other)
    differences = chunk_differences(recipe, other, quantity)
    n = len(differences)
    decided_after = first_verdict(differences, confidence)
    verdict = Verdict.CANNOT_TELL
    if decided_after is not None:
        verdict = Verdict.BETTER if differences[:decided_after].mean() < 0 else Verdict.WORSE
    to_go = None
    if decided_after is None:
        to_go = chunks_until_clear(differences, lambda chunks: least_t(chunks, confidence))
    return Look(n, quantity, _interval(differences, confidence), verdict, decided_after, to_go)


def first_verdict(differences: NDArray[np.float64], confidence: float) -> int | None:
    """After how many chunks, in their order, a difference was clear; None where it never was."""
    broken = np.flatnonzero(~np.isfinite(differences))
    whole = differences[: broken[0]] if len(broken) else differences
    n, sums, squares = np.arange(1, len(whole) + 1), np.cumsum(whole), np.cumsum(whole**2)
    share = np.divide(sums**2, n * squares, out=np.zeros(len(n)), where=squares > 0)
    clear = np.flatnonzero(log_evidence(np.minimum(share, 1.0), n) >= -math.log1p(-confidence))
    return int(n[clear[0]]) if len(clear) else None


def log_evidence(share: NDArray[np.float64], chunks: NDArray[np.int64]) -> NDArray[np.float64]:
    """The log of E after n chunks, with S² / (nV) = t² / (t² + n − 1) for the mean's share of V."""
    n, c2 = chunks[..., None], _EFFECTS**-2
    accounts = -0.5 * np.log1p(n / c2) - n / 2 * np.log1p(-share[..., None] * n / (n + c2))
    total: NDArray[np.float64] = np.logaddexp.reduce(accounts, axis=-1) - math.log(len(_EFFECTS))
    return total


@functools.lru_cache(4096)
def least_t(chunks: int, confidence: float) -> float:
    """The t beyond which so many chunks give a verdict; infinite where they are too few for any."""
    n = np.array(chunks)

    def is_clear(share: float) -> bool:
        return bool(log_evidence(np.array(share), n) >= -math.log1p(-confidence))

    if chunks < 2 or not is_clear(1.0):
        return math.inf
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if is_clear(middle) else (middle, high)
    return math.sqrt((chunks - 1) * high / (1 - high)) if high < 1 else math.inf


def _interval(differences: NDArray[np.float64], confidence: float) -> Interval:
    mean, sd = mean_and_sd(differences)
    n, least = len(differences), least_t(len(differences), confidence)
    se = sd / math.sqrt(n)
    reach = least * se if math.isfinite(least) else math.inf
    return Interval(mean, se, mean - reach, mean + reach)
