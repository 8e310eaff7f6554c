"""Numbers with their errors: which digits are shown."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_shapes import llama_shape
from scripted_results import measured

from lqtui.measure.rounding import decimals_of, difference, plus_minus, rounded, small
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import resolve
from lqtui.tui.widgets.heat import short_number
from lqtui.tui.widgets.importance import Mark, ScoreKind
from lqtui.tui.widgets.result_columns import KLD, Row
from lqtui.tui.widgets.result_sentence import sentences
from lqtui.tui.widgets.standings import Standings
from lqtui.workbench.wording import outcome


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (30.4073, 2.2980, "30.4 ±2.3"),
        (0.012346, 0.000390, "0.0123 ±0.0004"),
        (0.004466, 0.000123, "0.00447 ±0.00012"),
        (94.2, 0.66, "94.2 ±0.7"),
        (416.3, 110.0, "420 ±110"),
        (2029.0, 3.1, "2029.0 ±3.1"),
        (18.8351, 0.0996, "18.84 ±0.10"),
    ],
)
def test_the_error_decides_how_many_digits_a_number_has(value: float, error: float, said: str) -> None:
    assert plus_minus(rounded(value, error)) == said


@given(st.floats(-1e5, 1e5), st.floats(1e-9, 1e5))
def test_no_digit_is_finer_than_two_of_the_error(value: float, error: float) -> None:
    number, said = rounded(value, error)
    last_place = 10.0 ** -decimals_of(error)
    assert last_place > 0.02 * error
    assert abs(float(number) - value) <= 0.5001 * last_place + math.ulp(value)
    assert abs(float(said) - error) <= 0.5001 * last_place
    assert len(number.partition(".")[2]) == len(said.partition(".")[2]) == max(0, decimals_of(error))


@pytest.mark.parametrize("error", [None, 0.0, math.inf])
def test_a_number_of_no_known_error_has_three_digits(error: float | None) -> None:
    assert rounded(0.0123456, error) == ("0.0123", "")
    assert rounded(0.0, error) == ("0", "")


def test_a_difference_within_its_error_is_not_given_as_one() -> None:
    assert plus_minus(difference(0.2, 0.3)) == "≈0 ±0.30"
    assert plus_minus(difference(-0.2, 0.3)) == "≈0 ±0.30"
    assert plus_minus(difference(0.9, 0.3)) == "+0.90 ±0.30"
    assert plus_minus(difference(-0.9, 0.3)) == "-0.90 ±0.30"
    assert difference(0.0, 0.0) == ("0", "")


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (0.000187, 0.000014, "0.000187 ±0.000014"),
        (1.87e-6, 1.4e-7, "1.87e-06 ±0.14e-06"),
        (1.87e-6, None, "1.87e-06"),
        (0.041, None, "0.0410"),
        (0.0, None, "0"),
    ],
)
def test_numbers_with_many_zeros_have_a_power_of_ten_that_their_error_shares(
    value: float, error: float | None, said: str
) -> None:
    assert plus_minus(small(value, error)) == said


def test_a_small_number_is_written_alike_in_the_table_the_sentence_the_layers_and_a_jobs_outcome() -> None:
    shape = llama_shape(2)
    result = replace(measured(resolve(shape, preset("uniform_q4_0", shape)), 18.9, kld=1.7e-8), kld_se=1.1e-9)
    assert KLD.variants[0].cell(Row(result)).text == "1.70e-08"
    assert "KLD 1.70e-08 ±0.11e-08" in sentences(Row(result), Standings())[0]
    assert short_number(Mark(1.7e-8, 0.1, 1), ScoreKind.MEASURED) == "1.7e-08"
    assert "KLD 1.70e-08 ±0.11e-08" in outcome([result])
