"""Scores of tokens that are spread as those of real recipes are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

TokenDifferences = Callable[..., NDArray[np.float64]]


@pytest.fixture
def token_differences() -> TokenDifferences:
    """Makes differences of token KLDs of two recipes, of shape (runs, chunks, 255), of a true mean `effect`.

    In units of a chunk's standard deviation. What is copied of real pairs (SmolLM2-135M on WikiText-2, and a
    model of 9 million weights on documentation): a token's kurtosis is some 60, its correlation with the next
    0.1, the variance of a chunk's mean 4 times that of independent tokens, and its skewness 0.7.
    """

    def make(seed: int, runs: int, chunks: int, effect: float = 0.0) -> NDArray[np.float64]:
        random = np.random.default_rng(seed)
        wild = random.standard_normal((runs, chunks, 256), np.float32)
        wild *= np.exp(0.85 * random.standard_normal(wild.shape, np.float32))
        tokens = wild[..., 1:] + 0.1 * wild[..., :-1]
        tokens /= tokens.std()
        subject = random.gamma(4, 0.5, (runs, chunks, 1)) - 2  # of variance 1 and skewness 1
        differences = tokens + np.sqrt(3 / 255) * subject
        return (differences + effect * np.sqrt(4 / 255)).astype(np.float64)

    return make
