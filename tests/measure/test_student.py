"""Student's t is what tables of it print."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lqtui.measure.student import central_probability, quantile


@pytest.mark.parametrize(
    ("confidence", "dof", "printed"),
    [
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 3, 3.182),
        (0.95, 4, 2.776),
        (0.95, 9, 2.262),
        (0.95, 10, 2.228),
        (0.95, 120, 1.980),
        (0.95, 100_000, 1.960),
        (0.99, 1, 63.657),
        (0.99, 4, 4.604),
        (0.999, 30, 3.646),
        (0.5, 7, 0.711),
    ],
)
def test_quantiles_are_those_in_print(confidence: float, dof: int, printed: float) -> None:
    assert quantile(confidence, dof) == pytest.approx(printed, abs=0.0005)


@given(st.floats(0.01, 0.9999), st.integers(1, 300))
def test_the_quantile_undoes_the_probability(confidence: float, dof: int) -> None:
    assert central_probability(quantile(confidence, dof), dof) == pytest.approx(confidence, abs=1e-9)


@given(st.floats(0, 50), st.integers(1, 40))
def test_the_probability_is_the_integral_of_the_density(t: float, dof: int) -> None:
    steps = 4000
    scale = math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2)) / math.sqrt(dof * math.pi)
    middles = ((step + 0.5) * t / steps for step in range(steps))
    integral = 2 * t / steps * math.fsum(scale * (1 + x * x / dof) ** (-(dof + 1) / 2) for x in middles)
    assert central_probability(t, dof) == pytest.approx(integral, abs=1e-4)
