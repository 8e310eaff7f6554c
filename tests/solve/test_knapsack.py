"""The best recipe within a budget: proved against trying everything, and against an exact dynamic program."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lqtui.solve import knapsack
from lqtui.solve.errors import BudgetError, SolveError
from lqtui.solve.items import Problem
from lqtui.solve.knapsack import solve
from tests.solve.problems import least_cost, problem, problems


@given(problems(), st.data())
def test_no_recipe_within_the_budget_is_better(of: Problem, data: st.DataObject) -> None:
    budget = data.draw(st.integers(of.smallest_bytes, of.largest_bytes))
    best = solve(of, budget)
    assert best.bytes <= budget
    assert best.cost == pytest.approx(least_cost(of, budget), rel=1e-9, abs=1e-15)
    assert best.is_proved


@pytest.mark.parametrize("tried_first", [knapsack._CORE, 3])
@pytest.mark.parametrize("seed", range(4))
def test_many_items_are_solved_as_by_a_dynamic_program_however_few_options_are_tried_first(
    seed: int, tried_first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knapsack, "_CORE", tried_first)
    chance = random.Random(seed)
    sizes, of_size = (3, 5, 8), (18, 22, 26, 34, 64)  # tensors of few sizes, as models have
    items = []
    for _ in range(60):
        size, own = chance.choice(sizes), chance.lognormvariate(-4, 1)
        noise = [chance.lognormvariate(0, 0.5) for _ in of_size]
        items.append([(size * n, own * 4 ** (4 - n / 4) * k) for n, k in zip(of_size, noise, strict=True)])
    of = problem(*items)
    for share in (0.03, 0.2, 0.5, 0.8):
        budget = round(of.smallest_bytes + share * (of.largest_bytes - of.smallest_bytes))
        best = solve(of, budget)
        assert best.cost == pytest.approx(_dynamic_program(of, budget), rel=1e-9)
        assert best.is_proved and best.bytes <= budget


def _dynamic_program(of: Problem, budget: int) -> float:
    least = np.zeros(budget + 1)
    for item in of.items:
        longer = np.full((len(item.options), budget + 1), np.inf)
        for row, option in zip(longer, item.options, strict=True):
            row[option.bytes :] = least[: budget + 1 - option.bytes] + option.cost
        least = longer.min(axis=0)
    return float(least[-1])


def test_where_sizes_hardly_add_up_to_the_budget_the_best_recipe_leaves_the_convex_hull() -> None:
    # The middle type of each is on no hull, and two middle ones fill the budget.
    of = problem([(0, 10.0), (5, 6.0), (10, 0.0)], [(0, 10.0), (5, 6.0), (10, 0.0)], [(0, 1.0), (1, 0.5)])
    assert [option.bytes for option in solve(of, 9).picks] in ([5, 0, 1], [0, 5, 1])
    assert [option.bytes for option in solve(of, 15).picks] in ([10, 5, 0], [5, 10, 0])


def test_items_that_are_all_alike_and_worth_their_size_are_no_trap() -> None:
    of = problem(*[[(size, (100 - size) / 1024) for size in (7, 10, 13, 29)]] * 40)
    best = solve(of, 617)
    assert best.bytes == 617
    assert best.is_proved


def test_a_budget_is_kept_to_the_byte_in_files_of_a_hundred_gigabytes() -> None:
    chance = random.Random(5)
    items = [sorted((32 * chance.randrange(10**8), -chance.random()) for _ in range(3)) for _ in range(6)]
    of = problem(*items, fixed_bytes=10**11)
    exact = solve(of, (of.smallest_bytes + of.largest_bytes) // 2).bytes
    assert solve(of, exact).bytes == exact
    assert solve(of, exact - 1).bytes < exact
    assert solve(of, exact - 1).cost == pytest.approx(least_cost(of, exact - 1), rel=1e-9)


def test_without_time_a_recipe_comes_with_the_gap_that_is_left() -> None:
    of = problem([(0, 3.0), (7, 0.0)], [(0, 2.5), (6, 0.0)], [(0, 2.0), (5, 0.0)])
    best = solve(of, 11, seconds=0.0)
    assert best.cost == 4.5
    assert not best.is_proved
    assert best.cost * (1 - best.gap) <= solve(of, 11).cost == 3.0


def test_the_price_is_what_the_last_byte_of_the_budget_buys() -> None:
    of = problem([(0, 12.0), (4, 4.0), (8, 2.0)], [(0, 3.0), (3, 0.0)])
    assert [solve(of, budget).price for budget in (0, 3, 4, 5, 7, 8, 11)] == [
        2.0,
        2.0,
        2.0,
        1.0,
        1.0,
        0.5,
        0.5,
    ]


def test_a_budget_beyond_everything_that_helps_buys_the_best_recipe_at_no_price() -> None:
    of = problem([(4, 1.0), (6, 0.25), (9, 0.5)], [(1, 0.0)])
    best = solve(of, 10)
    assert (best.bytes, best.cost, best.price) == (7, 0.25, 0.0)


@pytest.mark.parametrize(
    ("budget", "sentence"),
    [
        (
            3_145_727,
            "a budget of 3,145,727 bytes (3.0 MiB) is less than the smallest recipe takes; choose at least "
            "3,145,728 bytes (3.0 MiB)",
        ),
        (
            8_388_609,
            "a budget of 8,388,609 bytes (8.0 MiB) is more than the largest recipe takes; choose at most "
            "8,388,608 bytes (8.0 MiB)",
        ),
    ],
)
def test_a_budget_that_no_recipe_has_is_refused_with_the_nearest_that_one_has(
    budget: int, sentence: str
) -> None:
    of = problem([(1 << 20, 1.0), (6 << 20, 0.0)], fixed_bytes=2 << 20)
    with pytest.raises(SolveError) as refused:
        solve(of, budget)
    assert str(refused.value) == sentence
    assert isinstance(refused.value, BudgetError)
    assert (refused.value.smallest_bytes, refused.value.largest_bytes) == (3 << 20, 8 << 20)
