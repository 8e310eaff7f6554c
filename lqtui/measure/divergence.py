"""How far a recipe's next-token probabilities are from the base model's: KL divergence and its kin."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lqtui.measure.perplexity import nll_under
from lqtui.measure.softmax import COLUMNS_AT_ONCE, Softmax, add_up, column_blocks, share_out, softmax_of


@dataclass(frozen=True)
class BaseRows:
    """The base model's logits on one chunk, and what every comparison with them needs.

    Costs 28 bytes a row beside the logits. These are held and not copied, 4 · n · n_vocab bytes (267 MB for
    255 rows of 262,144 words), and must not change while recipes are compared with them. Their exponentials
    are worked out anew for every recipe: to keep them would double the memory and save a quarter of the time.
    """

    logits: NDArray[np.float32]
    """Shape (n, n_vocab): row i predicts token i."""
    tokens: NDArray[np.int32]
    """The tokens that are scored. Shape (n,)."""
    softmax: Softmax
    """Of the logits."""
    nll: NDArray[np.float64]
    """What `token_nll` says of the base. Shape (n,)."""

    @classmethod
    def of(
        cls, logits: NDArray[np.float32], tokens: NDArray[np.int32], workers: Executor | None = None
    ) -> BaseRows:
        """Prepare a chunk's logits, of shape (n, n_vocab), and the n tokens that they predict."""
        softmax = softmax_of(logits, workers)
        return cls(logits, tokens, softmax, nll_under(softmax, logits, tokens))


class TokenDivergence(NamedTuple):
    """What each token says of a recipe beside the base model. Each of shape (n,)."""

    nll: NDArray[np.float64]
    """The recipe's negative log-likelihood, in nats: to the last bit what `token_nll` gives."""
    kld: NDArray[np.float64]
    """Kullback-Leibler divergence of the recipe from the base model, in nats; never negative.

    NaN where either of them is broken, its logits infinite or NaN."""
    same_top: NDArray[np.bool_]
    """Whether both find the same token the likeliest. False where the KLD is NaN."""


def token_divergence(
    logits: NDArray[np.float32], base: BaseRows, workers: Executor | None = None
) -> TokenDivergence:
    """NLL and KL divergence of each token; the same to the last bit on any number of threads.

    KLD = Σ p_base (ln p_base − ln p) over the whole vocabulary. With x and y for the logits of the base and
    of the recipe, each less their highest, it is Σ eˣ(x − y) / Σ eˣ − ln Σ eˣ + ln Σ eʸ. Exponentials and
    differences are of single precision, which puts it off by some 1e-8. (llama-perplexity keeps the base's
    logarithms as 16-bit integers, 1e-4 off, and leaves out words of a probability below e⁻¹⁶.)

    Args:
        logits: The recipe's, of the base's shape.
        base: The base model's logits at the same positions.
        workers: Threads to share the rows out to.

    Raises:
        ValueError: The recipe has another number of rows or words than the base.
    """
    if logits.shape != base.logits.shape:
        raise ValueError(f"logits of shape {logits.shape} do not match the base's {base.logits.shape}")
    n, n_vocab = logits.shape
    softmax = Softmax(np.empty(n, np.int64), np.empty(n, np.float32), np.empty(n, np.float64))
    weighted = np.empty(n, np.float64)

    def rows(start: int, stop: int) -> None:
        scratch = np.empty((3, min(COLUMNS_AT_ONCE, n_vocab)), np.float32)
        for row in range(start, stop):
            softmax.top[row] = top = logits[row].argmax()
            softmax.highest[row] = highest = logits[row, top]
            highest_of_base = base.softmax.highest[row]
            total = summed = 0.0
            for columns in column_blocks(n_vocab):
                x, y, apart = scratch[:, : columns.stop - columns.start]
                np.subtract(base.logits[row, columns], highest_of_base, out=x)
                np.subtract(logits[row, columns], highest, out=y)
                np.subtract(x, y, out=apart)
                np.multiply(np.exp(x, out=x), apart, out=apart)
                summed = add_up(apart, summed)
                total = add_up(np.exp(y, out=y), total)
            softmax.sum[row] = total
            weighted[row] = summed

    share_out(n, rows, workers)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        kld = weighted / base.softmax.sum - np.log(base.softmax.sum) + np.log(softmax.sum)
        for row in np.flatnonzero(~np.isfinite(kld)):
            kld[row] = _kld_of_huge_logits(base.logits[row], logits[row])
        nll = nll_under(softmax, logits, base.tokens)
    same_top = (softmax.top == base.softmax.top) & ~np.isnan(kld)
    return TokenDivergence(nll, np.maximum(kld, 0.0), same_top)


def _kld_of_huge_logits(base: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
    """KLD of a row whose differences may lie beyond single precision; NaN where the logits are no numbers."""
    x, y = base.astype(np.float64), logits.astype(np.float64)
    x -= x.max()
    y -= y.max()
    weights = np.exp(x)
    total = weights.sum()
    kld = float((weights * (x - y)).sum() / total - np.log(total) + np.log(np.exp(y).sum()))
    return kld if math.isfinite(kld) else math.nan


class Estimate(NamedTuple):
    """A value and its standard error, in the value's unit."""

    value: float
    se: float


@dataclass(frozen=True)
class Divergence:
    """A recipe beside its base model over all scored tokens, as `llama-perplexity --kl-divergence` has it.

    KLD is in nats; shares and probabilities are fractions of 1, where llama-perplexity prints percents. Δp is
    the recipe's probability of the token that came, less the base's. Standard errors take tokens for
    independent, as llama-perplexity's do; those of `lqtui.measure.paired` do not.
    """

    tokens: int
    kld: Estimate
    """Mean KLD."""
    kld_median: float
    kld_99: float
    """The KLD that 99 % of the tokens stay below, interpolated linearly between two tokens."""
    kld_99_9: float
    kld_max: float
    same_top: Estimate
    """Share of the tokens where both find the same one the likeliest."""
    rms_dp: Estimate
    """Root of the mean square of Δp."""


def divergence(
    nll: NDArray[np.float64],
    base_nll: NDArray[np.float64],
    kld: NDArray[np.float64],
    same_top: NDArray[np.bool_],
) -> Divergence:
    """Sum up what tokens say of a recipe; all four of one shape, of one or more tokens.

    Source of the formulas: `kl_divergence` in llama.cpp's perplexity.cpp. Everything is NaN where an NLL or a
    KLD is not finite, which says that a model is broken; errors are infinite where there is but one token.
    """
    nll, base_nll, kld = nll.reshape(-1), base_nll.reshape(-1), kld.reshape(-1)
    if not all(np.isfinite(values).all() for values in (nll, base_nll, kld)):
        nll, base_nll, kld = (np.full(kld.size, np.nan) for _ in range(3))
    median, ninety_nine, ninety_nine_9, highest = np.quantile(kld, [0.5, 0.99, 0.999, 1]).tolist()
    dp = np.exp(-nll) - np.exp(-base_nll)
    square_dp = _mean(dp * dp)
    rms_dp = math.sqrt(square_dp.value)
    same = float(same_top.mean()) if not math.isnan(highest) else math.nan
    return Divergence(
        tokens=kld.size,
        kld=_mean(kld),
        kld_median=median,
        kld_99=ninety_nine,
        kld_99_9=ninety_nine_9,
        kld_max=highest,
        same_top=Estimate(same, math.sqrt(same * (1 - same) / (kld.size - 1)) if kld.size > 1 else math.inf),
        rms_dp=Estimate(rms_dp, 0.5 / rms_dp * square_dp.se if rms_dp else 0.0),
    )


def _mean(values: NDArray[np.float64]) -> Estimate:
    se = float(values.std(ddof=1)) / math.sqrt(values.size) if values.size > 1 else math.inf
    return Estimate(float(values.mean()), se)
