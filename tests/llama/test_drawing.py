"""The sample that estimates rest on: how many are drawn, and that sums are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lqtui.llama.estimates import drawn

SIZES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200).map(np.array)


@given(SIZES, st.integers(1, 60))
def test_no_more_is_drawn_than_wanted_and_the_sum_of_the_sizes_is_kept(
    sizes: NDArray[np.float64], wanted: int
) -> None:
    numbers, times = drawn(sizes, wanted)
    assert len(numbers) == min(wanted, np.count_nonzero(sizes)) or len(numbers) < wanted
    assert len(set(numbers)) == len(numbers) <= wanted
    assert min(times, default=1) >= 1 - 1e-9
    assert times @ sizes[numbers] == pytest.approx(sizes.sum())


def test_everything_with_a_size_is_drawn_where_the_sample_suffices() -> None:
    numbers, times = drawn(np.array([0.0, 3.0, 1.0, 0.0, 9.0]), 3)
    assert numbers.tolist() == [1, 2, 4] and times.tolist() == [1, 1, 1]


def test_what_is_large_is_certain_and_the_rest_is_drawn_as_often_as_there_is_room() -> None:
    sizes = np.array([1e6] + [1.0] * 99 + [5e8])
    numbers, times = drawn(sizes, 12)
    assert {0, 100} <= set(numbers.tolist()) and len(numbers) == 12
    assert times[0] == times[-1] == 1 and times[1:-1] == pytest.approx(9.9)


def test_a_period_in_the_tensor_does_not_fall_in_with_the_sample() -> None:
    values = np.where(np.arange(4096) % 64 == 32, 64.0, 0.0)  # one row of each head holds everything
    sizes = np.random.default_rng(8).uniform(0.9, 1.1, 4096)
    numbers, times = drawn(sizes, 512)
    assert times @ values[numbers] == pytest.approx(values.sum(), rel=0.5)
