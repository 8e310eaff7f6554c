"""The frontier of size and cost: every point the best of its size, and the knee where it bends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lqtui.recipe.types import TensorType
from lqtui.solve.frontier import NEGLIGIBLE, frontier, knee
from lqtui.solve.items import Problem, make_problem
from lqtui.solve.knapsack import Solution, solve
from lqtui.solve.relaxation import relax
from tests.solve.problems import least_cost, llama_shape, made_up_costs, problem, problems

TYPES = tuple(map(TensorType, ("F16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "IQ4_XS", "Q3_K", "Q2_K")))


@pytest.fixture(scope="module")
def small_model() -> Problem:
    """SmolLM2's sizes with 6 blocks: the embedding is half of the weights, and matters as much."""
    shape = llama_shape(blocks=6)
    costs = made_up_costs(shape, seed=1)
    costs["token_embd.weight"] = {type_: 30 * cost for type_, cost in costs["token_embd.weight"].items()}
    return make_problem(shape, TYPES, costs)


@given(problems(), st.integers(2, 12))
def test_each_point_is_the_best_of_its_size_and_better_than_all_smaller_ones(
    of: Problem, points: int
) -> None:
    curve = frontier(of, points)
    assert 1 <= len(curve) <= points
    assert curve[0].bytes == of.smallest_bytes
    assert curve[-1].cost == pytest.approx(least_cost(of, of.largest_bytes), rel=1e-9, abs=1e-15)
    for point in curve:
        assert point.cost == pytest.approx(least_cost(of, point.bytes), rel=1e-9, abs=1e-15)
    for one, next_one in pairwise(curve):
        assert one.bytes < next_one.bytes
        assert one.cost > next_one.cost


def test_a_stopped_frontier_ends_with_the_points_that_it_has(small_model: Problem) -> None:
    asked = iter([False, False, True])
    whole = frontier(small_model, points=30)
    assert frontier(small_model, points=30, stopped=lambda: next(asked)) == whole[:3]


def test_the_frontier_has_points_where_a_large_tensor_leaves_a_gap_in_the_convex_hull(
    small_model: Problem,
) -> None:
    curve = frontier(small_model, points=30)
    on_hull = relax(small_model).sizes
    assert widest([point.bytes for point in curve]) < widest(on_hull) / 2
    for point in (point for point in curve if point.bytes not in on_hull):
        assert point.is_proved
        assert solve(small_model, point.bytes).cost == pytest.approx(point.cost, rel=1e-9)


def widest(sizes: Sequence[int]) -> int:
    """The widest gap between neighbours."""
    return max(after - before for before, after in pairwise(sizes))


def test_the_knee_of_a_model_is_on_its_frontier_and_neither_end(small_model: Problem) -> None:
    curve = frontier(small_model, points=40)
    assert knee(curve) in curve[1:-1]


def curve_of(*points: tuple[int, float]) -> list[Solution]:
    """The frontier of one item."""
    return frontier(problem(list(points)), points=1 + max(size for size, _ in points))


def test_the_knee_is_where_the_logarithm_of_the_cost_bends_most() -> None:
    curve = curve_of((0, 1.0), (2, 0.1), (4, 0.01), (6, 0.009), (12, 0.007), (20, 0.006))
    found = knee(curve)
    assert found is not None and found.cost == 0.01


def test_a_curve_that_each_byte_lowers_by_the_same_share_has_no_knee() -> None:
    assert knee(curve_of(*[(size, 1 - size / 4) for size in range(2)])) is None, "two points do not bend"
    curve = curve_of(*[(size, 2.0**-size) for size in range(6)])
    assert knee(curve) in (None, *curve[1:-1])
    assert knee([]) is None


def test_what_nobody_would_notice_does_not_move_the_knee() -> None:
    bend = [(0, 1.0), (2, 0.05), (4, 0.01), (9, 0.004), (14, NEGLIGIBLE)]
    found = knee(curve_of(*bend))
    assert found is not None
    beyond = knee(curve_of(*bend, (15, NEGLIGIBLE / 1e6), (40, 0.0)))
    assert beyond is not None and beyond.cost == found.cost
    abruptly = knee(curve_of(*bend[:-1], (14, NEGLIGIBLE / 1e6)))
    assert abruptly is not None and abruptly.cost == found.cost
