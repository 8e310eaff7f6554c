"""KL divergence is exact to single precision, and its summary is llama-perplexity's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lqtui.measure.divergence import BaseRows, Divergence, divergence, token_divergence
from lqtui.measure.perplexity import PairedDifference, paired_difference, token_nll

STORED_STEP = 16 / 65535
"""Between two log-probabilities of a base that llama-perplexity can tell apart."""


@st.composite
def two_models(draw: st.DrawFn, bound: float = 60) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    shape = draw(st.tuples(st.integers(1, 20), st.integers(2, 40)))
    logits = hnp.arrays(np.float32, shape, elements=st.floats(-bound, bound, width=32))
    return draw(logits), draw(logits)


def made_up(n: int, n_vocab: int, noise: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits of a base, as peaked as a language model's, and of a recipe that is `noise` off."""
    random = np.random.default_rng(n_vocab)
    base = random.normal(0, 3, (n, n_vocab)) + 12 * (random.random((n, n_vocab)) < 3 / n_vocab)
    return base.astype(np.float32), (base + random.normal(0, noise, base.shape)).astype(np.float32)


def tokens_for(logits: NDArray[np.float32]) -> NDArray[np.int32]:
    return np.random.default_rng(0).integers(0, logits.shape[1], len(logits)).astype(np.int32)


def kld_in_double_precision(base: NDArray[np.float32], logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Σ p (ln p − ln q) as it is written."""
    logs = []
    for rows in (base.astype(np.float64), logits.astype(np.float64)):
        lowered = rows - rows.max(axis=1, keepdims=True)
        logs.append(lowered - np.log(np.exp(lowered).sum(axis=1, keepdims=True)))
    return (np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=1)


@pytest.mark.parametrize("noise", [1.0, 0.1, 0.0014, 0.0])
def test_kld_of_each_token_is_exact_to_1e_7_also_where_it_is_1e_6(noise: float) -> None:
    base, logits = made_up(40, 70_001, noise)  # more columns than are worked on together, and an odd number
    found = token_divergence(logits, BaseRows.of(base, tokens_for(base)))
    expected = kld_in_double_precision(base, logits)
    assert np.abs(found.kld - expected).max() < 1e-7
    if noise == 0.0014:
        assert 1e-7 < expected.mean() < 1e-5


@given(two_models())
def test_kld_is_the_mean_log_of_how_much_less_likely_the_recipe_finds_what_the_base_says(
    models: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    base, logits = models
    found = token_divergence(logits, BaseRows.of(base, tokens_for(base))).kld
    assert found == pytest.approx(kld_in_double_precision(base, logits), rel=2e-6, abs=2e-6)


@given(two_models())
def test_kld_is_never_negative_and_nil_of_a_model_with_itself(
    models: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    base, logits = models
    rows = BaseRows.of(base, tokens_for(base))
    assert (token_divergence(logits, rows).kld >= 0).all()
    itself = token_divergence(base, rows)
    assert not itself.kld.any() and itself.same_top.all() and (itself.nll == rows.nll).all()


@given(two_models(bound=float(np.finfo(np.float32).max)))
@pytest.mark.filterwarnings("error")
def test_finite_logits_however_huge_give_finite_kld(
    models: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    base, logits = models
    assert np.isfinite(token_divergence(logits, BaseRows.of(base, tokens_for(base))).kld).all()


@given(two_models(), st.integers(-40, 40), st.integers(-40, 40))
def test_a_constant_added_to_all_logits_changes_nothing(
    models: tuple[NDArray[np.float32], NDArray[np.float32]], shift_base: int, shift: int
) -> None:
    base, logits = (np.round(rows * 256) / 256 for rows in models)  # which a float32 holds shifted, too
    tokens = tokens_for(base)
    found = token_divergence(logits + np.float32(shift), BaseRows.of(base + np.float32(shift_base), tokens))
    for value, expected in zip(found, token_divergence(logits, BaseRows.of(base, tokens)), strict=True):
        assert (value == expected).all()


@pytest.fixture(params=[1, 2, 5])
def workers(request: pytest.FixtureRequest) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(request.param) as executor:
        yield executor


def test_numbers_are_the_same_to_the_last_bit_on_any_number_of_threads(workers: ThreadPoolExecutor) -> None:
    base, logits = made_up(61, 40_000, 0.2)
    tokens = tokens_for(base)
    alone = token_divergence(logits, BaseRows.of(base, tokens))
    shared = token_divergence(logits, BaseRows.of(base, tokens, workers), workers)
    for value, expected in zip(shared, alone, strict=True):
        assert (value == expected).all()
    assert (token_nll(logits, tokens, workers) == alone.nll).all()


def test_nll_is_to_the_last_bit_token_nlls_and_numpys_on_whole_rows() -> None:
    base, logits = made_up(40, 70_001, 0.2)
    tokens = tokens_for(base)
    found = token_divergence(logits, BaseRows.of(base, tokens)).nll
    assert (found == token_nll(logits, tokens)).all()
    highest = logits.max(axis=1)
    sums = np.exp(logits - highest[:, None]).sum(axis=1, dtype=np.float64)
    chosen = logits[np.arange(len(tokens)), tokens].astype(np.float64)
    assert (found == np.log(sums) - (chosen - highest)).all()


def test_same_top_is_whether_both_find_one_token_the_likeliest() -> None:
    base = np.array([[0, 1, 5], [0, 1, 5], [7, 7, 0]], np.float32)
    logits = np.array([[0, 2, 3], [4, 1, 3], [8, 0, 0]], np.float32)
    found = token_divergence(logits, BaseRows.of(base, np.zeros(3, np.int32)))
    assert found.same_top.tolist() == [True, False, True]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("broken", ["base", "recipe"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_make_their_own_tokens_kld_no_number(bad: float, broken: str) -> None:
    base, logits = made_up(20, 300, 0.2)
    whole = token_divergence(logits, BaseRows.of(base, tokens_for(base)))
    {"base": base, "recipe": logits}[broken][7, 11] = bad
    found = token_divergence(logits, BaseRows.of(base, tokens_for(base)))
    others = np.arange(20) != 7
    assert math.isnan(found.kld[7]) and not found.same_top[7]
    assert (found.kld[others] == whole.kld[others]).all()
    assert (found.nll[others] == whole.nll[others]).all()


def test_another_vocabulary_is_refused() -> None:
    base, logits = made_up(3, 40, 0.2)
    with pytest.raises(ValueError, match="shape"):
        token_divergence(logits[:, :-1], BaseRows.of(base, tokens_for(base)))


# What follows is llama.cpp's `kl_divergence` and its two `log_softmax`, line by line.


class LlamaPerplexity:
    """What llama-perplexity keeps of the tokens: the base stored in 16 bits, or as if it were not."""

    def __init__(
        self, base: NDArray[np.float32], logits: NDArray[np.float32], tokens: NDArray[np.int32], stored: bool
    ) -> None:
        self.nll, self.nll_base, self.kld, self.p_diff = [], [], [], []
        self.n_same_top = 0
        for base_row, row, token in zip(base.tolist(), logits.tolist(), tokens.tolist(), strict=True):
            kept = self._stored(base_row) if stored else self._log_softmax(base_row)
            log_q = self._log_softmax(row)
            self.nll.append(-log_q[token])
            self.nll_base.append(-kept[token])
            counted = [(p, q) for p, q in zip(kept, log_q, strict=True) if p > -16 or not stored]
            self.kld.append(sum(math.exp(p) * (p - q) for p, q in counted))
            self.p_diff.append(math.exp(log_q[token]) - math.exp(kept[token]))
            self.n_same_top += kept.index(max(kept)) == row.index(max(row))
        self.count = len(self.kld)

    @staticmethod
    def _log_softmax(row: list[float]) -> list[float]:
        highest = max(row)
        log_sum_exp = math.log(math.fsum(math.exp(logit - highest) for logit in row))
        return [logit - highest - log_sum_exp for logit in row]

    @staticmethod
    def _stored(row: list[float]) -> list[float]:
        highest = max(row)
        lowest = max(min(row), highest - 16)
        log_sum_exp = math.log(math.fsum(math.exp(logit - highest) for logit in row))
        scale = (highest - lowest) / 65535
        kept = [round((logit - lowest) / scale) if logit > lowest else 0 for logit in row]
        return [scale * integer + (lowest - highest - log_sum_exp) for integer in kept]

    def mean_and_uncertainty(self, values: list[float]) -> tuple[float, float]:
        mean = sum(values) / self.count
        variance = sum(value * value for value in values) / self.count - mean * mean
        return mean, math.sqrt(variance / (self.count - 1))

    def percentile(self, fraction: float) -> float:
        values = sorted(self.kld)
        p = fraction * (len(values) - 1)
        ip = int(p)
        p -= ip
        return (1 - p) * values[ip] + p * values[min(ip + 1, len(values) - 1)]

    def median(self) -> float:
        values, half = sorted(self.kld), self.count // 2
        return values[half] if self.count % 2 else 0.5 * (values[half] + values[half - 1])

    def log_ppl_ratio(self) -> tuple[float, float]:
        log_ppl, log_ppl_base = map(self.mean_and_uncertainty, (self.nll, self.nll_base))
        products = sum(a * b for a, b in zip(self.nll, self.nll_base, strict=True)) / self.count
        covariance = (products - log_ppl[0] * log_ppl_base[0]) / (self.count - 1)
        uncertainty = math.sqrt(log_ppl[1] ** 2 + log_ppl_base[1] ** 2 - 2 * covariance)
        return log_ppl[0] - log_ppl_base[0], uncertainty

    def statistics(self) -> dict[str, float | tuple[float, float]]:
        mse, mse_unc = self.mean_and_uncertainty([value**2 for value in self.p_diff])
        same_top = self.n_same_top / self.count
        return {
            "tokens": self.count,
            "kld": self.mean_and_uncertainty(self.kld),
            "kld_median": self.median(),
            "kld_99": self.percentile(0.99),
            "kld_99_9": self.percentile(0.999),
            "kld_max": max(self.kld),
            "same_top": (same_top, math.sqrt(same_top * (1 - same_top) / (self.count - 1))),
            "rms_dp": (math.sqrt(mse), 0.5 / math.sqrt(mse) * mse_unc),
        }


def both(n: int, noise: float, stored: bool) -> tuple[Divergence, PairedDifference, LlamaPerplexity]:
    base, logits = made_up(n, 400, noise)
    stored_exactly = base > base.max(axis=1, keepdims=True) - 16  # others' NLL is cut off
    tokens = np.array(
        [np.random.default_rng(n).choice(np.flatnonzero(row)) for row in stored_exactly], np.int32
    )
    tokens[::2] = base.argmax(axis=1)[::2]  # some that both find likely
    rows = BaseRows.of(base, tokens)
    found = token_divergence(logits, rows)
    ours = divergence(found.nll, rows.nll, found.kld, found.same_top)
    paired = paired_difference(found.nll, rows.nll)
    return ours, paired, LlamaPerplexity(base, logits, tokens, stored)


@pytest.mark.parametrize("n", [150, 151])
@pytest.mark.parametrize("noise", [0.05, 0.5, 2.0])
def test_the_summary_is_llama_perplexitys_within_what_its_storage_rounds(n: int, noise: float) -> None:
    ours, paired, theirs = both(n, noise, stored=True)
    statistics = theirs.statistics()
    assert [field.name for field in fields(ours)] == list(statistics)
    for name, value in statistics.items():
        assert getattr(ours, name) == pytest.approx(value, abs=2 * STORED_STEP), name
    assert paired == pytest.approx(theirs.log_ppl_ratio(), abs=2 * STORED_STEP)


def test_the_summary_is_llama_perplexitys_to_seven_digits_where_nothing_is_rounded() -> None:
    ours, paired, theirs = both(150, 0.5, stored=False)
    for name, value in theirs.statistics().items():
        assert getattr(ours, name) == pytest.approx(value, rel=1e-5, abs=1e-6), name
    assert paired == pytest.approx(theirs.log_ppl_ratio(), rel=1e-5, abs=1e-6)


def test_a_recipe_that_is_the_base_differs_in_nothing() -> None:
    nll = np.array([1.0, 2.0, 5.0])
    found = divergence(nll, nll, np.zeros(3), np.ones(3, np.bool_))
    assert found.kld == found.rms_dp == paired_difference(nll, nll) == (0, 0)
    assert found.same_top == (1, 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_broken_token_makes_the_whole_summary_no_number(bad: float) -> None:
    whole, same = np.array([1.0, 2.0, 3.0]), np.ones(3, np.bool_)
    broken = np.array([1.0, bad, 3.0])
    for found in (divergence(broken, whole, whole, same), divergence(whole, whole, broken, same)):
        numbers = np.hstack([np.ravel(value) for value in astuple(found)[1:]])
        assert np.isnan(numbers).all()


@pytest.mark.filterwarnings("error")
def test_one_token_tells_no_error() -> None:
    found = divergence(np.array([2.0]), np.array([1.0]), np.array([0.5]), np.array([True]))
    assert found.kld == (0.5, math.inf) and found.same_top.se == found.rms_dp.se == math.inf
