"""One may look after every chunk, and stop when the verdict stands."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lqtui.measure import student
from lqtui.measure.paired import Quantity, Scores, Verdict, compare
from lqtui.measure.sequential import first_verdict, least_t, log_evidence, look

chunk_means = hnp.arrays(
    np.float64, st.integers(2, 30), elements=st.floats(-3, 3).map(lambda value: round(value, 3))
)


def scores(differences: NDArray[np.float64]) -> tuple[Scores, Scores]:
    """Two recipes of which the NLL differs by so much in each chunk."""
    return Scores(np.repeat(differences[:, None], 2, axis=1)), Scores(np.zeros((len(differences), 2)))


def t_of(differences: NDArray[np.float64]) -> float:
    return statistics.fmean(differences) / (statistics.stdev(differences) / math.sqrt(len(differences)))


@given(chunk_means)
def test_a_verdict_stands_from_the_first_look_at_which_t_is_beyond_its_bound(
    differences: NDArray[np.float64],
) -> None:
    found = first_verdict(differences, 0.95)
    for n in range(2, len(differences) + 1):
        seen = differences[:n]
        t = abs(t_of(seen)) if statistics.stdev(seen) else math.inf if seen.any() else 0.0
        bound = least_t(n, 0.95)
        if not math.isclose(t, bound, rel_tol=1e-6):
            clear = t >= bound if math.isfinite(t) else math.isfinite(bound)
            assert clear is (found == n) or (found is not None and found < n)
        if found == n:
            return
    assert found is None


@given(chunk_means)
def test_later_chunks_never_take_a_verdict_back(differences: NDArray[np.float64]) -> None:
    found = [look(*scores(differences[:n])) for n in range(1, len(differences) + 1)]
    for before, after in itertools.pairwise(found):
        if before.decided_after is not None:
            assert (after.decided_after, after.verdict) == (before.decided_after, before.verdict)


@given(chunk_means)
def test_swapping_the_recipes_flips_the_verdict_and_keeps_the_rest(differences: NDArray[np.float64]) -> None:
    found, swapped = look(*scores(differences)), look(*scores(differences)[::-1])
    opposite = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
    assert swapped.verdict == opposite.get(found.verdict, Verdict.CANNOT_TELL)
    assert (swapped.decided_after, swapped.chunks_to_go) == (found.decided_after, found.chunks_to_go)
    value, se, low, high = found.difference
    assert swapped.difference == (-value, se, -high, -low)


@given(chunk_means, st.floats(0.001, 1000))
def test_the_unit_of_the_scores_changes_no_verdict(differences: NDArray[np.float64], unit: float) -> None:
    assert first_verdict(differences * unit, 0.95) == first_verdict(differences, 0.95)


@given(chunk_means)
def test_its_interval_is_wider_than_that_of_one_look(differences: NDArray[np.float64]) -> None:
    pair = scores(differences)
    many, once = look(*pair).difference, compare(*pair).nll
    assert many.low <= once.low <= once.high <= many.high
    assert many[:2] == pytest.approx(once[:2])


@pytest.mark.parametrize("effect", [0.5, 2.0, 8.0])
def test_the_evidence_is_the_likelihood_ratio_of_t_with_a_normal_effect_to_t_without(effect: float) -> None:
    """Against a sum of the density of the chunks over effects and, weighted by 1/σ, over spreads."""
    x = np.random.default_rng(4).normal(0.7, 1, 6)
    sigma = np.exp(np.linspace(-4, 5, 3001))[:, None]

    def density(mean_over_sigma: NDArray[np.float64]) -> NDArray[np.float64]:
        """Integrated over ln σ, but for constants."""
        total = sum(-0.5 * (value / sigma - mean_over_sigma) ** 2 for value in x)
        return (np.exp(total) / sigma ** len(x)).sum(axis=0)

    effects = effect * np.linspace(-8, 8, 4001)
    weights = np.exp(-0.5 * (effects / effect) ** 2)
    ratio = (density(effects[None]) * weights / weights.sum()).sum() / density(np.zeros((1, 1)))[0]
    n, c2 = len(x), effect**-2
    by_formula = math.sqrt(c2 / (n + c2)) * (1 - x.sum() ** 2 / ((n + c2) * (x @ x))) ** (-n / 2)
    assert by_formula == pytest.approx(ratio, rel=1e-4)


def test_the_evidence_is_the_mean_over_small_middle_and_large_effects() -> None:
    x = np.random.default_rng(4).normal(0.7, 1, 6)
    share = x.sum() ** 2 / (6 * (x @ x))
    accounts = [
        math.sqrt(c2 / (6 + c2)) * (1 - share * 6 / (6 + c2)) ** (-3) for c2 in (0.5**-2, 2**-2, 8**-2)
    ]
    found = log_evidence(np.array([share]), np.array([6]))
    assert found == pytest.approx(math.log(statistics.fmean(accounts)))


def test_one_or_two_chunks_never_suffice_at_95_percent_and_three_do_where_it_is_very_clear() -> None:
    assert least_t(1, 0.95) == least_t(2, 0.95) == math.inf
    assert look(*scores(np.array([-1.0, -1.0]))).decided_after is None
    found = look(*scores(np.array([-1.0, -1.1, -0.9])))
    assert found.decided_after == 3 and found.verdict is Verdict.BETTER and found.chunks_to_go is None


def test_kld_decides_where_both_have_it() -> None:
    recipe, other = scores(np.array([-1.0, -1.1, -0.9]))
    found = look(Scores(other.nll, recipe.nll), Scores(recipe.nll, other.nll))
    assert found.decided_on is Quantity.KLD and found.verdict is Verdict.BETTER
    found = look(Scores(other.nll), Scores(recipe.nll))
    assert found.decided_on is Quantity.NLL and found.verdict is Verdict.WORSE


def test_as_many_chunks_to_go_as_make_such_a_difference_clear() -> None:
    differences = np.array([0.5, -0.2, 0.4, -0.1, 0.3])
    found = look(*scores(differences))
    effect = abs(t_of(differences)) / math.sqrt(5)
    assert found.verdict is Verdict.CANNOT_TELL and found.chunks_to_go is not None
    chunks = 5 + found.chunks_to_go
    assert effect * math.sqrt(chunks) > least_t(chunks, 0.95)
    assert effect * math.sqrt(chunks - 1) <= least_t(chunks - 1, 0.95)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("differences", [[0.0, 0.0, 0.0], [math.nan, 1.0, 1.0], [1.0, math.inf, 1.0]])
def test_no_difference_or_a_broken_recipe_gets_no_verdict(differences: list[float]) -> None:
    found = look(*scores(np.array(differences)))
    assert found.verdict is Verdict.CANNOT_TELL and found.decided_after is found.chunks_to_go is None


def beyond_the_fixed_bound(means: NDArray[np.float64], confidence: float) -> NDArray[np.bool_]:
    """Of each run and each number of chunks from two on, whether the fixed test finds a difference."""
    n = np.arange(2, means.shape[1] + 1)
    sums, squares = means.cumsum(axis=1)[:, 1:], (means**2).cumsum(axis=1)[:, 1:]
    t = sums / np.sqrt(n * (squares - sums**2 / n) / (n - 1))
    return abs(t) > [student.quantile(confidence, chunks - 1) for chunks in n]


def test_equal_recipes_get_a_verdict_as_rarely_as_asked_for_with_a_look_after_each_of_100_chunks(
    token_differences: Callable[..., NDArray[np.float64]],
) -> None:
    runs, chunks = 1000, 100
    means = np.concatenate([token_differences(seed, 50, chunks).mean(axis=2) for seed in range(runs // 50)])
    for confidence in (0.95, 0.8):
        false = sum(first_verdict(run, confidence) is not None for run in means) / runs
        assert false < 1 - confidence + 2 * math.sqrt(confidence * (1 - confidence) / runs)
    assert beyond_the_fixed_bound(means, 0.95).any(axis=1).mean() > 0.3  # what such looks at `compare` do


@pytest.mark.parametrize("effect", [4.0, 2.0, 1.0, 0.5])
def test_it_takes_on_average_at_most_half_more_than_a_fixed_test_made_to_find_this_effect_in_90_percent(
    effect: float, token_differences: Callable[..., NDArray[np.float64]]
) -> None:
    runs, chunks = 200, max(10, int(80 / effect**1.5))
    means = token_differences(7, runs, chunks, effect).mean(axis=2)
    power = beyond_the_fixed_bound(means, 0.95).mean(axis=0)
    fixed = 2 + int((power >= 0.9).argmax())
    assert power.max() >= 0.9
    stops = [first_verdict(run, 0.95) for run in means]
    assert None not in stops
    assert statistics.fmean(stop or 0 for stop in stops) <= 1.5 * fixed
