"""Perplexity and its standard error, from the negative log-likelihood of each scored token."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lqtui.measure.softmax import Softmax, softmax_of

_LARGEST_EXPONENT = 709.0
"""exp of this is still a double."""


def exponential(log: float) -> float:
    """The exponential of a mean NLL, or of a difference of two; infinite where no double holds it."""
    return math.inf if log > _LARGEST_EXPONENT else math.exp(log)


class Perplexity(NamedTuple):
    """exp(mean NLL), its standard error in the same unit, and the number of tokens scored."""

    value: float
    se: float
    tokens: int


def token_nll(
    logits: NDArray[np.float32], tokens: NDArray[np.int32], workers: Executor | None = None
) -> NDArray[np.float64]:
    """Negative log-likelihood, in nats, of each token under the logits that predict it.

    Args:
        logits: Shape (n, n_vocab): row i predicts token i.
        tokens: Shape (n,).
        workers: Threads to share the rows out to; their number changes no bit of the result.

    Returns:
        Shape (n,): log of the sum of exponentials less the token's logit, summed in double precision. Not a
        number where a model is broken and its logits are infinite or not numbers.
    """
    return nll_under(softmax_of(logits, workers), logits, tokens)


def nll_under(
    softmax: Softmax, logits: NDArray[np.float32], tokens: NDArray[np.int32]
) -> NDArray[np.float64]:
    """`token_nll` where the softmax of the logits is known."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        chosen = logits[np.arange(len(tokens)), tokens].astype(np.float64)
        nll: NDArray[np.float64] = np.log(softmax.sum) - (chosen - softmax.highest)
        return nll


def perplexity(nll: NDArray[np.float64]) -> Perplexity:
    """PPL ± SE of scored tokens, as llama-perplexity prints it.

    SE = PPL · sqrt((mean(nll²) − mean(nll)²) / (n − 1)), over tokens, source: llama.cpp's perplexity.cpp.
    Both are not a number where any NLL is infinite or not a number, which says that the model is broken.
    """
    flat = nll.reshape(-1)
    if not np.isfinite(flat).all():
        return Perplexity(math.nan, math.nan, flat.size)
    mean = float(flat.mean())
    variance = float((flat * flat).mean()) - mean * mean
    value = exponential(mean)
    se = value * math.sqrt(max(variance, 0.0) / (flat.size - 1)) if flat.size > 1 else math.inf
    return Perplexity(value, se, flat.size)


class PairedDifference(NamedTuple):
    """Mean difference of NLL per token of two recipes on the same tokens, and its standard error, in nats."""

    mean: float
    se: float


def paired_difference(nll: NDArray[np.float64], reference: NDArray[np.float64]) -> PairedDifference:
    """The mean and standard error of `nll − reference`, token by token; both of the same shape.

    ln(PPL / PPL_reference) is the mean; the pairing cancels how hard the text is. Both are not a number where
    either recipe's NLL is infinite or not a number somewhere.
    """
    if not (np.isfinite(nll).all() and np.isfinite(reference).all()):
        return PairedDifference(math.nan, math.nan)
    difference = (nll - reference).reshape(-1)
    se = float(difference.std(ddof=1)) / math.sqrt(difference.size) if difference.size > 1 else math.inf
    return PairedDifference(float(difference.mean()), se)
