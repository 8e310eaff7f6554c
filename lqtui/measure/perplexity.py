"""Perplexity and its standard error, from the negative log-likelihood of each scored token."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 32
"""Rows of logits worked on together: their exponentials stay in the processor's cache."""


_LARGEST_EXPONENT = 709.0
"""exp of this is still a double."""


class Perplexity(NamedTuple):
    """exp(mean NLL), its standard error in the same unit, and the number of tokens scored."""

    value: float
    se: float
    tokens: int


def token_nll(logits: NDArray[np.float32], tokens: NDArray[np.int32]) -> NDArray[np.float64]:
    """Negative log-likelihood, in nats, of each token under the logits that predict it.

    Args:
        logits: Shape (n, n_vocab): row i predicts token i.
        tokens: Shape (n,).

    Returns:
        Shape (n,): log of the sum of exponentials less the token's logit, summed in double precision. Not a
        number where a model is broken and its logits are infinite or not numbers.
    """
    nll = np.empty(len(tokens), np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for start in range(0, len(tokens), _ROWS_AT_ONCE):
            rows = logits[start : start + _ROWS_AT_ONCE]
            highest = rows.max(axis=1)
            sums = np.exp(rows - highest[:, None]).sum(axis=1, dtype=np.float64)
            chosen = rows[np.arange(len(rows)), tokens[start : start + _ROWS_AT_ONCE]]
            nll[start : start + _ROWS_AT_ONCE] = np.log(sums) - (chosen.astype(np.float64) - highest)
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
    value = math.exp(mean) if mean < _LARGEST_EXPONENT else math.inf
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
