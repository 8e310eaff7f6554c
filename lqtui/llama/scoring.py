"""What the logits of a chunk say of a recipe, for itself and beside the base model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lqtui.measure.divergence import BaseRows, token_divergence
from lqtui.measure.perplexity import token_nll

Rows = Iterable[tuple[NDArray[np.float32], NDArray[np.int32]]]
"""Logits and the tokens that they predict, shapes (n, n_vocab) and (n,), decode after decode of a chunk."""


class TokenScores(NamedTuple):
    """What was measured of each scored token of a chunk, each of shape (n,); nats.

    KLD and same_top are None where no comparison with the base was asked for.
    """

    nll: NDArray[np.float64]
    kld: NDArray[np.float64] | None = None
    same_top: NDArray[np.bool_] | None = None


class BaseChunk(NamedTuple):
    """The base model on one chunk: its own scores, and its logits as often as they are needed."""

    scores: TokenScores
    rows: Callable[[], Iterator[BaseRows]]


def base_chunk(logits: Rows, workers: Executor, again: Callable[[], Rows] | None) -> BaseChunk:
    """Score the base model on a chunk; its logits are held, unless `again` can give them once more."""
    held: list[BaseRows] = []
    nlls = []
    for rows, targets in logits:
        prepared = BaseRows.of(rows if again else rows.copy(), targets, workers)
        nlls.append(prepared.nll)
        if again is None:
            held.append(prepared)
    nll = np.concatenate(nlls)
    broken = ~np.isfinite(nll)
    scores = TokenScores(nll, np.where(broken, np.nan, 0.0), ~broken)
    if again is None:
        return BaseChunk(scores, lambda: iter(held))
    return BaseChunk(scores, lambda: (BaseRows.of(rows, targets, workers) for rows, targets in again()))


def recipe_scores(logits: Rows, base: BaseChunk | None, workers: Executor) -> TokenScores:
    """Score a recipe on a chunk, beside the base model where there is one to compare with."""
    if base is None:
        return TokenScores(np.concatenate([token_nll(rows, targets, workers) for rows, targets in logits]))
    compared = [
        token_divergence(rows, beside, workers) for (rows, _), beside in zip(logits, base.rows(), strict=True)
    ]
    return TokenScores(
        np.concatenate([tokens.nll for tokens in compared]),
        np.concatenate([tokens.kld for tokens in compared]),
        np.concatenate([tokens.same_top for tokens in compared]),
    )
