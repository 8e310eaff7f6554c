"""Costs: measured where they were, scaled by the estimated error from there, and never made up."""

from __future__ import annotations

import math

import pytest

from lqtui.recipe.types import TensorType
from lqtui.solve.costs import ROUNDING, OutputErrors, cost_table, shared_out

Q8_0, Q4_0, Q2_K = TensorType.Q8_0, TensorType.Q4_0, TensorType.Q2_K
ERRORS = OutputErrors({TensorType.F16: 1e-9, Q8_0: 0.004, Q4_0: 1.0, Q2_K: 12.0}, power=100.0)
V0, V1, UP0 = "blk.0.attn_v.weight", "blk.1.attn_v.weight", "blk.0.ffn_up.weight"


def test_a_measured_cost_is_taken_as_it_is_and_others_follow_the_error() -> None:
    table = cost_table({V0: {Q4_0: 0.002}}, {V0: ERRORS})
    assert table.costs[V0][Q4_0] == 0.002
    floor = ROUNDING * 100
    assert table.costs[V0][Q2_K] == pytest.approx(0.002 * (12 + floor) / (1 + floor))
    assert table.costs[V0][Q8_0] == pytest.approx(0.002 * (0.004 + floor) / (1 + floor))
    assert table.costs[V0][TensorType.F16] < 1e-10  # nothing is rounded where weights are floats
    assert table.measured == {(V0, Q4_0)}


def test_what_rounded_activations_cost_follows_from_what_q8_0_costs() -> None:
    share = 3e-4
    kld = {Q4_0: 0.002, Q8_0: 0.002 * (0.004 + share * 100) / (1 + share * 100)}
    assert cost_table({V0: kld}, {V0: ERRORS}).rounding == pytest.approx(share)


def test_a_tensor_of_which_nothing_was_measured_is_like_others_of_its_role() -> None:
    estimated = {V0: ERRORS, V1: ERRORS, UP0: ERRORS}
    table = cost_table({V0: {Q4_0: 0.002}, UP0: {Q4_0: 0.0004}}, estimated)
    assert table.costs[V1][Q4_0] == pytest.approx(0.002)
    assert cost_table({}, estimated).costs == {}


def test_a_type_that_breaks_the_model_costs_the_most_and_spoils_no_other() -> None:
    table = cost_table({V0: {Q4_0: 0.002, Q2_K: math.inf}}, {V0: ERRORS, V1: ERRORS})
    assert table.costs[V0][Q2_K] == math.inf
    assert math.isfinite(table.costs[V1][Q2_K])
    assert table.total({V0: Q2_K}) == math.inf
    assert table.total({V0: Q4_0, V1: Q4_0}) == pytest.approx(0.004)
    assert table.total({UP0: Q4_0}) is None


def test_a_blocks_cost_is_shared_out_by_what_its_tensors_lose() -> None:
    coarse = OutputErrors({Q4_0: 3.0}, power=100.0)
    shares = shared_out(0.008, {V0: Q4_0, UP0: Q4_0}, {V0: ERRORS, UP0: coarse})
    assert sum(shares.values()) == pytest.approx(0.008)
    assert shares[UP0] == pytest.approx(3 * shares[V0], rel=0.02)
    assert shared_out(0.008, {V0: Q4_0, UP0: Q4_0}, {}) == {V0: 0.004, UP0: 0.004}
