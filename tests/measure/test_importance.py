"""Importance: LIM, ZD, the spread of weights and Spearman's correlation are what their definitions say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lqtui.measure.importance import (
    WeightRows,
    lim,
    rank_correlation,
    token_cosines,
    weight_spread,
    zd,
)

ROWS = arrays(np.float32, (6, 8), elements=st.floats(-4, 4, width=16))


def rows(weights: object, times: object = None) -> WeightRows:
    made = np.array(weights, np.float32, ndmin=2)
    return WeightRows(made, np.ones(len(made)) if times is None else np.array(times, np.float64))


def z_scores(weights: np.ndarray) -> np.ndarray:
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
    # Mean 0, standard deviation 1.25: one weight above it, two below its negative.
    weights = [3, 0, 0, 0, 0, 0, 0, 0, -1.5, -1.5]
    assert zd(lambda: [rows(weights)]) == pytest.approx((0.1, 0.3))


def test_zd_takes_mean_and_deviation_from_the_whole_block_not_from_each_tensor() -> None:
    small, large = np.full((4, 4), 0.1), np.array([[-10.0, 10.0, -10.0, 10.0]])
    exact = np.concatenate([small, large])
    shares = zd(lambda: [rows(small), rows(large)])
    assert shares == pytest.approx((np.mean(z_scores(exact) > 1), np.mean(abs(z_scores(exact)) > 1)))
    assert shares == pytest.approx((0.1, 0.2))  # all of the large tensor, of which no weight stands out in it


@given(ROWS, ROWS)
def test_zd_of_pieces_is_that_of_all_weights_together(a: np.ndarray, b: np.ndarray) -> None:
    together = np.concatenate([a, b]).astype(np.float64)
    z = abs(together - together.mean()) - together.std()
    assume(abs(z).min() > 1e-4)  # nearer to z = 1, a weight lies on one side or the other by rounding
    one, two = zd(lambda: [rows(a), rows(b)])
    assert one == pytest.approx(np.mean(together > together.mean() + together.std()))
    assert two == pytest.approx(np.mean(abs(together - together.mean()) > together.std()))


def test_of_normal_weights_16_and_32_percent_lie_beyond_a_standard_deviation() -> None:
    weights = np.random.default_rng(0).standard_normal((400, 500)).astype(np.float32) + 7
    assert zd(lambda: [rows(weights)]) == pytest.approx((0.1587, 0.3173), abs=0.002)


def test_equal_weights_have_no_zd() -> None:
    assert zd(lambda: [rows(np.full((3, 5), 0.3))]) == (0, 0)


def test_a_row_that_stands_for_several_counts_as_often() -> None:
    weights = np.random.default_rng(1).standard_normal((3, 40)).astype(np.float32)
    repeated = rows(np.repeat(weights, [1, 4, 2], axis=0))
    assert zd(lambda: [rows(weights, [1, 4, 2])]) == pytest.approx(zd(lambda: [repeated]))
    assert weight_spread(rows(weights, [1, 4, 2])) == pytest.approx(weight_spread(repeated))


# The spread of weights


@pytest.mark.parametrize(
    "draw, kurtosis, within",
    [("standard_normal", 0.0, 0.05), ("random", -1.2, 0.02), ("laplace", 3.0, 0.3)],
)
def test_kurtosis_is_that_of_the_distribution(draw: str, kurtosis: float, within: float) -> None:
    drawn = getattr(np.random.default_rng(2), draw)(size=(500, 400))
    assert weight_spread(rows(drawn)).excess_kurtosis == pytest.approx(kurtosis, abs=within)


def test_the_spread_does_not_depend_on_where_the_weights_lie_or_on_their_scale() -> None:
    weights = np.random.default_rng(3).standard_t(5, (50, 64)).astype(np.float32)
    assert weight_spread(rows(weights * 1e-3 + 2e-3)) == pytest.approx(weight_spread(rows(weights)), rel=1e-3)


def test_outliers_lie_beyond_six_standard_deviations_of_their_tensor() -> None:
    weights = np.tile([1.0, -1.0], 5000)
    weights[:3] = 7, -7, 5.5
    assert weight_spread(rows(weights)).outlier_share == pytest.approx(2 / 10_000)


def test_equal_weights_have_no_spread() -> None:
    assert weight_spread(rows(np.full((3, 5), 0.3))) == (0, 0)


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
