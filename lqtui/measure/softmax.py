"""What makes a softmax of each row of logits, worked out in the processor's cache and on several threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COLUMNS_AT_ONCE = 32_768
"""Columns of a row worked on together, 128 KiB of them: five such arrays stay in a cache of 1 MiB.

A multiple of the 8,192 numbers that NumPy sums at once, so that cutting a row changes no bit of its sum."""

_ROWS_AT_ONCE = 8
"""Rows that a thread takes at a time."""


class Softmax(NamedTuple):
    """Of each of n rows of logits: softmax = exp(logit − highest) / sum."""

    top: NDArray[np.int64]
    """Index of the highest logit, the first one where several are equal. Shape (n,)."""
    highest: NDArray[np.float32]
    """The highest logit. Shape (n,)."""
    sum: NDArray[np.float64]
    """Σ exp(logit − highest): single precision exponentials, summed in double precision. Shape (n,)."""


def softmax_of(logits: NDArray[np.float32], workers: Executor | None = None) -> Softmax:
    """The softmax of each row of logits, of shape (n, n_vocab).

    It is the same to the last bit on any number of threads. Sums of rows with infinite logits may be NaN.
    """
    n = len(logits)
    found = Softmax(np.empty(n, np.int64), np.empty(n, np.float32), np.empty(n, np.float64))

    def rows(start: int, stop: int) -> None:
        scratch = np.empty(COLUMNS_AT_ONCE, np.float32)
        for row in range(start, stop):
            found.top[row] = top = logits[row].argmax()
            found.highest[row] = highest = logits[row, top]
            total = 0.0
            for columns in column_blocks(logits.shape[1]):
                lowered = scratch[: columns.stop - columns.start]
                np.subtract(logits[row, columns], highest, out=lowered)
                total = add_up(np.exp(lowered, out=lowered), total)
            found.sum[row] = total

    share_out(n, rows, workers)
    return found


def add_up(values: NDArray[np.float32], before: float) -> float:
    """What came before in a row plus the sum of a block's values, in double precision."""
    return float(np.add.reduce(values, dtype=np.float64, initial=before))


def column_blocks(n_vocab: int) -> list[slice]:
    """The blocks in which the columns of a row are worked on."""
    starts = range(0, n_vocab, COLUMNS_AT_ONCE)
    return [slice(start, min(start + COLUMNS_AT_ONCE, n_vocab)) for start in starts]


def share_out(n: int, rows: Callable[[int, int], None], workers: Executor | None) -> None:
    """Call `rows(start, stop)` until all n rows are done, on the workers where there are any.

    What NumPy would warn of in a broken model's logits is not warned of.
    """

    def some(start: int) -> None:
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # holds for one thread
            rows(start, min(start + _ROWS_AT_ONCE, n))

    for _ in (workers.map if workers else map)(some, range(0, n, _ROWS_AT_ONCE)):
        pass
