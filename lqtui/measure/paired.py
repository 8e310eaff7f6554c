"""Which of two recipes is better, from their scores of the same tokens."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lqtui.measure import student
from lqtui.measure.perplexity import exponential

MOST_CHUNKS = 1000
"""A verdict that would take more chunks than these is not promised."""


class Scores(NamedTuple):
    """A recipe's scores of the tokens of some chunks, each of shape (chunks, tokens), in nats."""

    nll: NDArray[np.float64]
    kld: NDArray[np.float64] | None = None
    """None where no base was measured."""


class Verdict(StrEnum):
    """What can be said of one recipe beside another."""

    BETTER = "better"
    WORSE = "worse"
    CANNOT_TELL = "can't tell"


class Quantity(StrEnum):
    """What a verdict rests on: less of it is better."""

    KLD = "KLD"
    NLL = "NLL"


class Interval(NamedTuple):
    """An estimate, its standard error in its own unit, and the confidence interval from `low` to `high`."""

    value: float
    se: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A recipe less another one, on the same tokens."""

    chunks: int
    nll: Interval
    """Difference of mean NLL, in nats: ln of the ratio of perplexities."""
    ppl_ratio: Interval
    """The recipe's perplexity over the other's."""
    kld: Interval | None
    """Difference of mean KLD from the base that both have, in nats."""
    decided_on: Quantity
    verdict: Verdict
    chunks_to_go: int | None
    """About how many more chunks would make as small a difference clear.

    It is as likely as not to be clear by then, if the difference and its spread stay what they are. None
    where it is clear, where one chunk tells no spread, and where it takes more than `MOST_CHUNKS`.
    """


def compare(recipe: Scores, other: Scores, confidence: float = 0.95) -> Comparison:
    """Compare a recipe with another one: on KLD where both have it, or else on NLL.

    The unit of evidence is the chunk: the differences of a chunk's tokens are averaged, and Student's t
    with chunks − 1 degrees of freedom is taken of the averages. Tokens are no independent evidence, because
    those of one chunk share their context and their subject. Of 81 pairs of recipes (SmolLM2-135M on 20
    chunks of WikiText-2, a model of 9 million weights on 100 chunks of documentation), the mean difference
    of KLD of a chunk varied 1.3 to 16 times as much as that of independent tokens, by the median 4 times,
    and that of NLL 0.9 to 4 times, by the median 1.6 times: errors of KLD counted by token are half of what
    they should be. These are cluster-robust errors, where all clusters have one size (Miller, "Adding Error
    Bars to Evals", 2024, arXiv:2411.00640). With few clusters, t with one degree of freedom less than there
    are clusters keeps its promise for about normal means, at 95 % even if the chunks' variances differ
    (Ibragimov and Müller, "t-Statistic Based Correlation and Heterogeneity Robust Inference", Journal of
    Business & Economic Statistics 28, 2010). So two chunks hardly ever suffice, and one never does.

    Chunks are taken for independent. Neighbours of one article are a little alike: on WikiText-2 their
    differences of KLD were correlated by 0.2 (of NLL, and on documentation, by less than 0.05), which gives
    10 % of false verdicts where 5 % are asked for. Chunks from all over a text have no such neighbours.

    All intervals are NaN where a score is infinite or NaN, which says that a recipe is broken.

    Args:
        recipe: The scores of the recipe that the verdict is on.
        other: The scores of the other, of the same chunks.
        confidence: How often intervals hold the truth, and equal recipes get no verdict: 0 to 1.

    Raises:
        ValueError: The two have not the same chunks.
    """
    by_nll = chunk_differences(recipe, other, Quantity.NLL)
    nll = _interval(by_nll, confidence)
    decided_on = deciding_quantity(recipe, other)
    kld, by_deciding = None, by_nll
    if decided_on is Quantity.KLD:
        by_deciding = chunk_differences(recipe, other, Quantity.KLD)
        kld = _interval(by_deciding, confidence)
    verdict = verdict_of(kld or nll)
    chunks_to_go = None if verdict is not Verdict.CANNOT_TELL else _chunks_to_go(by_deciding, confidence)
    return Comparison(len(by_nll), nll, _exponential(nll), kld, decided_on, verdict, chunks_to_go)


def deciding_quantity(recipe: Scores, other: Scores) -> Quantity:
    """KLD where both have it, or else NLL."""
    return Quantity.NLL if recipe.kld is None or other.kld is None else Quantity.KLD


def chunk_differences(recipe: Scores, other: Scores, quantity: Quantity) -> NDArray[np.float64]:
    """Mean difference of each chunk's tokens, of shape (chunks,); ValueError where chunks differ."""
    mine, its = (scores.kld if quantity is Quantity.KLD else scores.nll for scores in (recipe, other))
    if mine is None or its is None or mine.shape != its.shape or mine.ndim != 2 or not mine.size:
        shapes = " and ".join(str(None if scores is None else scores.shape) for scores in (mine, its))
        raise ValueError(f"{quantity}s of shapes {shapes} are not of the same chunks")
    with np.errstate(invalid="ignore"):
        differences: NDArray[np.float64] = (mine - its).mean(axis=1)
    return differences


def verdict_of(difference: Interval) -> Verdict:
    """What an interval of differences says: nothing as long as it holds zero, or is none."""
    if difference.high < 0:
        return Verdict.BETTER
    return Verdict.WORSE if difference.low > 0 else Verdict.CANNOT_TELL


def mean_and_sd(differences: NDArray[np.float64]) -> tuple[float, float]:
    """The mean of chunks' differences and the standard deviation of one, infinite where there is but one."""
    if not np.isfinite(differences).all():
        return math.nan, math.nan
    sd = float(differences.std(ddof=1)) if len(differences) > 1 else math.inf
    return float(differences.mean()), sd


def _interval(differences: NDArray[np.float64], confidence: float) -> Interval:
    mean, sd = mean_and_sd(differences)
    n = len(differences)
    if n < 2:
        return Interval(mean, sd, mean - sd, mean + sd)
    se = sd / math.sqrt(n)
    reach = student.quantile(confidence, n - 1) * se
    return Interval(mean, se, mean - reach, mean + reach)


def _exponential(log: Interval) -> Interval:
    value, low, high = (exponential(end) for end in (log.value, log.low, log.high))
    return Interval(value, value * log.se, low, high)


def _chunks_to_go(differences: NDArray[np.float64], confidence: float) -> int | None:
    return chunks_until_clear(differences, lambda chunks: student.quantile(confidence, chunks - 1))


def chunks_until_clear(differences: NDArray[np.float64], least_t: Callable[[int], float]) -> int | None:
    """How many more chunks bring t beyond `least_t(chunks)`, if mean and spread stay what they are.

    None where that takes more than `MOST_CHUNKS` in all, or where the spread is not known.
    """
    mean, sd = mean_and_sd(differences)
    if not math.isfinite(sd):
        return None

    def is_clear(chunks: int) -> bool:
        return abs(mean) * math.sqrt(chunks) > least_t(chunks) * sd

    chunks = range(len(differences) + 1, MOST_CHUNKS + 1)
    more = bisect.bisect_left(chunks, True, key=is_clear)
    return more + 1 if more < len(chunks) else None
