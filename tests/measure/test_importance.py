"""Importance: LIM, ZD, the spread of weights and Spearman's correlation are what their definitions say."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from lqtui.measure.importance import (
    OUTLIER_Z,
    Spread,
    ZScoreShares,
    joined,
    lim,
    outlier_share,
    rank_correlation,
    spread_of,
    tails,
    token_cosines,
    zd,
)

WEIGHTS = arrays(np.float32, (6, 8), elements=st.floats(-4, 4, width=16))


def weights_of(values: object) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def zd_of(*pieces: NDArray[np.float32]) -> ZScoreShares:
    spread = functools.reduce(joined, map(spread_of, pieces), Spread())
    return zd([tails(piece, spread, 1) for piece in pieces], spread)


def z_scores(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    exact = weights.astype(np.float64)
    return (exact - exact.mean()) / exact.std()


# LIM


def test_a_token_that_is_only_stretched_has_cosine_1_and_one_that_is_turned_has_less() -> None:
    given_ = np.array([[3, 4], [1, 0], [1, 0], [2, 2]], np.float32)
    gives = np.array([[6, 8], [0, 5], [-7, 0], [1, 0]], np.float32)
    assert token_cosines(given_, gives) == pytest.approx([1, 0, -1, math.sqrt(0.5)])


def test_a_token_of_zeros_has_no_direction() -> None:
    assert token_cosines(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)) == [0]


def test_large_hidden_states_have_a_cosine_too() -> None:
    states = np.full((1, 4), 3e38, np.float32)
    assert token_cosines(states, states) == pytest.approx([1])


def test_a_broken_models_hidden_states_have_none() -> None:
    broken = np.array([[1, math.nan], [math.inf, 1]], np.float32)
    assert np.isnan(token_cosines(broken, np.ones((2, 2), np.float32))).all()


def test_lim_ranks_the_block_that_turns_its_tokens_further_higher() -> None:
    assert lim(0.2) > lim(0.9) and lim(0.9) == -0.9


# ZD


def test_zd_tells_both_tails_apart() -> None:
    # Mean 0 and a standard deviation of 1.2: one weight lies above it, two below its negative.
    assert zd_of(weights_of([3, 0, 0, 0, 0, 0, 0, 0, -1.5, -1.5])) == pytest.approx((0.1, 0.3))


def test_zd_takes_mean_and_deviation_from_the_whole_block_not_from_each_tensor() -> None:
    small, large = weights_of(np.full((4, 4), 0.1)), weights_of([-10, 10, -10, 10])
    # Of the large tensor, in which no weight stands out, all do in the block.
    assert zd_of(small, large) == pytest.approx((0.1, 0.2))
    assert zd_of(large) == (0, 0)


@given(WEIGHTS, WEIGHTS)
def test_zd_of_pieces_is_that_of_all_weights_together(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    together = np.concatenate([a, b])
    assume(together.std() > 0.01)
    z = z_scores(together)
    assume(np.abs(np.abs(z) - 1).min() > 1e-4)  # nearer to z = 1, a weight lies on one side or the other
    assert zd_of(a, b) == pytest.approx((np.mean(z > 1), np.mean(np.abs(z) > 1)))


def test_of_normal_weights_16_and_32_percent_lie_beyond_a_standard_deviation() -> None:
    weights = np.random.default_rng(0).standard_normal((400, 500)).astype(np.float32) + 7
    assert zd_of(weights) == pytest.approx((0.1587, 0.3173), abs=0.002)


# The spread of weights


@given(WEIGHTS, WEIGHTS)
def test_the_spread_of_pieces_joins_to_that_of_all_weights_together(
    a: NDArray[np.float32], b: NDArray[np.float32]
) -> None:
    together = np.concatenate([a, b]).astype(np.float64)
    off = together - together.mean()
    exact = (together.size, together.mean(), *(np.sum(off**power) for power in (2, 3, 4)))
    assert joined(spread_of(a), spread_of(b)) == pytest.approx(exact, rel=1e-5, abs=1e-3)
    assert joined(Spread(), spread_of(a)) == joined(spread_of(a), Spread()) == spread_of(a)


@pytest.mark.parametrize(
    "draw, kurtosis, within",
    [("standard_normal", 0.0, 0.05), ("random", -1.2, 0.02), ("laplace", 3.0, 0.3)],
)
def test_kurtosis_is_that_of_the_distribution(draw: str, kurtosis: float, within: float) -> None:
    drawn = getattr(np.random.default_rng(2), draw)(size=(500, 400))
    assert spread_of(weights_of(drawn)).excess_kurtosis == pytest.approx(kurtosis, abs=within)


def test_kurtosis_does_not_depend_on_where_the_weights_lie_or_on_their_scale() -> None:
    weights = np.random.default_rng(3).standard_t(5, (50, 64)).astype(np.float32)
    moved = spread_of(weights * np.float32(1e-3) + np.float32(2e-3))
    assert moved.excess_kurtosis == pytest.approx(spread_of(weights).excess_kurtosis, rel=1e-3)


def test_outliers_lie_beyond_six_standard_deviations_of_their_tensor() -> None:
    weights = weights_of(np.tile([1.0, -1.0], 5000)).reshape(100, 100)
    weights[0, :3] = 7, -7, 5.5
    spread = spread_of(weights)
    pieces = [tails(piece, spread, OUTLIER_Z) for piece in np.split(weights, 4)]
    assert outlier_share(pieces, spread) == pytest.approx(2 / 10_000)


def test_equal_weights_have_no_spread_and_no_tails() -> None:
    weights = weights_of(np.full((3, 5), 0.25))
    spread = spread_of(weights)
    assert (spread.deviation, spread.excess_kurtosis) == (0, 0)
    assert tails(weights, spread, 1) == (0, 0)


# Spearman's correlation


def test_rank_correlation_is_spearmans_formula_where_nothing_is_tied() -> None:
    random = np.random.default_rng(4)
    a, b = random.permutation(20), random.permutation(20)
    assert rank_correlation(a, b) == pytest.approx(1 - 6 * np.sum((a - b) ** 2) / (20 * (20**2 - 1)))


def test_only_the_order_counts() -> None:
    values = np.array([3.0, -1.0, 0.5, 8.0])
    assert rank_correlation(values, np.exp(values)) == pytest.approx(1)
    assert rank_correlation(values, -(values**3)) == pytest.approx(-1)


def test_ties_share_the_mean_of_their_ranks() -> None:
    # The ranks are 1, 2.5, 2.5, 4 beside 1, 2, 3, 4.
    assert rank_correlation([1, 2, 2, 3], [10, 20, 30, 40]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


@pytest.mark.parametrize("a, b", [([1, 1, 1], [1, 2, 3]), ([1], [2]), ([], []), ([1, math.nan], [1, 2])])
def test_what_cannot_be_ranked_has_no_correlation(a: list[float], b: list[float]) -> None:
    assert math.isnan(rank_correlation(a, b))


def test_rankings_of_different_things_are_refused() -> None:
    with pytest.raises(ValueError, match="3 values cannot be ranked beside 2"):
        rank_correlation([1, 2, 3], [1, 2])
