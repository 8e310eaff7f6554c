"""Two recipes are compared chunk by chunk, and a verdict is given only where it is clear."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lqtui.measure.paired import MOST_CHUNKS, Comparison, Quantity, Scores, Verdict, compare
from lqtui.measure.perplexity import perplexity

Rows = NDArray[np.float64]
shapes = st.tuples(st.integers(2, 8), st.integers(1, 6))
scores = st.floats(0, 20).map(lambda score: round(score, 3))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Scores, Scores]:
    shape = draw(shapes)
    return Scores(*(draw(hnp.arrays(np.float64, shape, elements=scores)) for _ in range(2))), Scores(
        *(draw(hnp.arrays(np.float64, shape, elements=scores)) for _ in range(2))
    )


def by_chunk(*differences: float, tokens: int = 3) -> tuple[Scores, Scores]:
    """Two recipes whose NLLs differ by so much in each chunk."""
    other = np.random.default_rng(0).gamma(2, 1, (len(differences), tokens))
    return Scores(other + np.array(differences)[:, None]), Scores(other)


def numbers(found: Comparison) -> list[float]:
    return [*found.nll, *found.ppl_ratio, *(found.kld or ())]


@given(pairs())
def test_swapping_the_recipes_flips_the_difference_and_the_verdict_and_keeps_the_error(
    pair: tuple[Scores, Scores],
) -> None:
    found, swapped = compare(*pair), compare(*pair[::-1])
    for one, other in ((found.nll, swapped.nll), (found.kld, swapped.kld)):
        assert one is not None and other is not None
        assert one == (-other.value, other.se, -other.high, -other.low)
    opposite = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
    assert swapped.verdict == opposite.get(found.verdict, Verdict.CANNOT_TELL)
    assert swapped.chunks_to_go == found.chunks_to_go


@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_chunks_changes_nothing(pair: tuple[Scores, Scores], random: object) -> None:
    order = list(range(len(pair[0].nll)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = [Scores(recipe.nll[order], recipe.kld[order]) for recipe in pair if recipe.kld is not None]
    assert numbers(compare(*shuffled)) == pytest.approx(numbers(compare(*pair)), rel=1e-9, abs=1e-9)


@given(pairs())
def test_a_recipe_beside_itself_differs_in_nothing(pair: tuple[Scores, Scores]) -> None:
    found = compare(pair[0], pair[0])
    assert found.nll == found.kld == (0, 0, 0, 0) and found.ppl_ratio == (1, 0, 1, 1)
    assert found.verdict is Verdict.CANNOT_TELL and found.chunks_to_go is None


@given(pairs())
def test_the_ratio_is_that_of_the_perplexities_of_all_tokens(pair: tuple[Scores, Scores]) -> None:
    ratio = perplexity(pair[0].nll).value / perplexity(pair[1].nll).value
    assert compare(*pair).ppl_ratio.value == pytest.approx(ratio, rel=1e-9)


def test_the_error_is_students_over_chunk_means() -> None:
    differences = [0.5, 0.1, 0.4, 0.2, 0.3]
    found = compare(*by_chunk(*differences)).nll
    se = statistics.stdev(differences) / math.sqrt(5)
    assert found == pytest.approx((0.3, se, 0.3 - 2.776445 * se, 0.3 + 2.776445 * se), rel=1e-6)


def test_less_confidence_makes_a_narrower_interval() -> None:
    wide, narrow = (compare(*by_chunk(0.5, 0.1, 0.4), confidence=level).nll for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high and wide.se == narrow.se


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((-0.3, -0.2, -0.25, -0.3), Verdict.BETTER),
        ((0.3, 0.2, 0.25, 0.3), Verdict.WORSE),
        ((0.3, -0.2, 0.25, -0.3), Verdict.CANNOT_TELL),
        ((0.3, 0.2), Verdict.CANNOT_TELL),  # alike in sign, but two may well be
        ((0.3,), Verdict.CANNOT_TELL),
    ],
)
def test_less_is_better_where_zero_is_outside_the_interval(
    differences: tuple[float, ...], verdict: Verdict
) -> None:
    found = compare(*by_chunk(*differences))
    assert found.verdict is verdict and found.decided_on is Quantity.NLL
    assert (found.nll.low <= 0 <= found.nll.high) == (verdict is Verdict.CANNOT_TELL)


def test_kld_decides_where_both_have_it() -> None:
    worse_nll, better_kld = by_chunk(0.3, 0.2, 0.25, 0.3), by_chunk(-0.3, -0.2, -0.25, -0.3)
    recipe, other = (Scores(*both) for both in zip(worse_nll, better_kld, strict=True))
    recipe, other = Scores(worse_nll[0].nll, better_kld[0].nll), Scores(worse_nll[1].nll, better_kld[1].nll)
    found = compare(recipe, other)
    assert found.decided_on is Quantity.KLD and found.verdict is Verdict.BETTER
    found = compare(recipe, Scores(other.nll))
    assert found.decided_on is Quantity.NLL and found.verdict is Verdict.WORSE and found.kld is None


def test_as_many_chunks_to_go_as_make_such_a_difference_clear() -> None:
    differences = np.array([0.5, -0.2, 0.4, -0.1, 0.3])
    to_go = compare(*by_chunk(*differences)).chunks_to_go
    assert to_go is not None
    centred = (differences - differences.mean()) / differences.std(ddof=1)

    def with_chunks(chunks: int) -> Comparison:
        """The same mean and standard deviation in more chunks."""
        values = np.resize(centred, chunks)
        values = (values - values.mean()) / values.std(ddof=1)
        return compare(*by_chunk(*(differences.mean() + differences.std(ddof=1) * values)))

    assert with_chunks(5 + to_go).verdict is Verdict.WORSE
    assert with_chunks(5 + to_go - 1).verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize("differences", [(0.3, 0.31, 0.32, 0.3), (1, -1, 1, -0.99999), (0.1,), (0, 0, 0)])
def test_nothing_is_promised_where_it_is_clear_or_would_take_for_ever(differences: tuple[float, ...]) -> None:
    assert compare(*by_chunk(*differences)).chunks_to_go is None
    assert MOST_CHUNKS == 1000


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_broken_recipe_gets_no_numbers_and_no_verdict(bad: float) -> None:
    recipe, other = by_chunk(0.3, 0.2, 0.25)
    recipe.nll[1, 1] = bad
    for found in (compare(recipe, other), compare(other, recipe), compare(recipe, recipe)):
        assert all(map(math.isnan, numbers(found)))
        assert found.verdict is Verdict.CANNOT_TELL and found.chunks_to_go is None


def test_one_chunk_tells_no_error() -> None:
    assert compare(*by_chunk(0.5)).nll == pytest.approx((0.5, math.inf, -math.inf, math.inf))


@pytest.mark.filterwarnings("error")
def test_a_ratio_beyond_all_numbers_is_infinite() -> None:
    assert compare(*by_chunk(2000, 2000.1)).ppl_ratio.value == math.inf


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (12,)])
def test_other_chunks_are_refused(shape: tuple[int, ...]) -> None:
    recipe, _ = by_chunk(1, 2, 3, 4)
    with pytest.raises(ValueError, match="not of the same chunks"):
        compare(recipe, Scores(np.zeros(shape)))


@pytest.mark.parametrize("chunks", [2, 3, 5, 10])
def test_an_interval_misses_the_truth_as_rarely_as_it_says_and_one_by_token_does_not(
    chunks: int, token_differences: object
) -> None:
    runs = token_differences(chunks, 1000, chunks)  # type: ignore[operator]
    missed = by_token = 0
    for differences in runs:
        found = compare(Scores(differences), Scores(np.zeros_like(differences))).nll
        missed += not found.low <= 0 <= found.high
        by_token += abs(differences.mean()) > 1.96 * differences.std() / math.sqrt(differences.size)
    assert missed / 1000 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert by_token / 1000 > 0.2
