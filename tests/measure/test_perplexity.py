"""Perplexity, its error and paired differences are the formulas that they claim to be."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lqtui.measure.perplexity import paired_difference, perplexity, token_nll

nlls = hnp.arrays(np.float64, st.integers(2, 300), elements=st.floats(0, 30))
logits = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 70), st.integers(2, 40)),
    elements=st.floats(-60, 60, width=32),
)


@given(logits, st.randoms(use_true_random=False))
def test_nll_is_minus_the_log_of_the_softmax(rows: np.ndarray, random: object) -> None:
    tokens = np.array([random.randrange(rows.shape[1]) for _ in rows], np.int32)  # type: ignore[attr-defined]
    for row, token, nll in zip(rows.astype(float), tokens, token_nll(rows, tokens), strict=True):
        highest = max(row)
        total = math.fsum(math.exp(x - highest) for x in row)
        assert nll == pytest.approx(highest + math.log(total) - row[token], rel=1e-5, abs=2e-5)


@given(nlls)
def test_perplexity_is_the_exponential_of_the_mean_and_its_error_llama_perplexitys(nll: np.ndarray) -> None:
    values = nll.tolist()
    mean = math.fsum(values) / len(values)
    variance = math.fsum((x - mean) ** 2 for x in values) / len(values)
    found = perplexity(nll)
    assert found.value == pytest.approx(math.exp(mean))
    assert found.se == pytest.approx(
        math.exp(mean) * math.sqrt(variance / (len(values) - 1)), rel=1e-6, abs=1e-5 * math.exp(mean)
    )
    assert found.tokens == len(values)


@given(nlls, st.randoms(use_true_random=False))
def test_a_paired_difference_is_the_mean_of_the_differences(nll: np.ndarray, random: object) -> None:
    other = nll + np.array([random.uniform(-1, 1) for _ in nll])  # type: ignore[attr-defined]
    differences = [a - b for a, b in zip(nll.tolist(), other.tolist(), strict=True)]
    found = paired_difference(nll, other)
    assert found.mean == pytest.approx(statistics.fmean(differences), abs=1e-12)
    assert found.se == pytest.approx(statistics.stdev(differences) / math.sqrt(len(differences)), abs=1e-12)


@given(nlls, st.floats(-2, 2))
def test_a_constant_difference_has_no_error_however_hard_the_text(nll: np.ndarray, shift: float) -> None:
    found = paired_difference(nll + shift, nll)
    assert found.mean == pytest.approx(shift, abs=1e-9) and found.se == pytest.approx(0, abs=1e-9)


@given(nlls)
def test_the_paired_mean_is_the_log_of_the_ratio_of_perplexities(nll: np.ndarray) -> None:
    other = nll[::-1] * 0.9
    ratio = math.log(perplexity(nll).value / perplexity(other).value)
    assert paired_difference(nll, other).mean == pytest.approx(ratio, abs=1e-9)


def test_chunks_may_come_as_rows() -> None:
    rows = np.arange(12.0).reshape(3, 4)
    assert perplexity(rows) == perplexity(rows.reshape(-1))
    assert paired_difference(rows, rows[:, ::-1]) == paired_difference(
        rows.reshape(-1), rows[:, ::-1].reshape(-1)
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_broken_models_nll_gives_no_number_and_no_warning(bad: float) -> None:
    nll, whole = np.array([1.0, bad, 2.0]), np.array([1.0, 2.0, 3.0])
    assert math.isnan(perplexity(nll).value) and math.isnan(perplexity(nll).se)
    for found in (paired_difference(nll, whole), paired_difference(whole, nll)):
        assert math.isnan(found.mean) and math.isnan(found.se)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_break_only_their_own_token(bad: float) -> None:
    rows = np.zeros((3, 4), np.float32)
    rows[1, 2] = bad
    nll = token_nll(rows, np.array([0, 2, 0], np.int32))
    assert nll[0] == nll[2] == pytest.approx(math.log(4))
    assert not math.isfinite(nll[1])


@pytest.mark.filterwarnings("error")
def test_a_perplexity_beyond_all_numbers_is_infinite() -> None:
    assert perplexity(np.full(4, 5000.0)).value == math.inf


def test_one_token_tells_no_error() -> None:
    assert perplexity(np.array([2.0])).se == math.inf
    assert paired_difference(np.array([2.0]), np.array([1.0])).se == math.inf
