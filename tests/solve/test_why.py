"""Why a tensor has its type: the numbers, and the sentence that they make."""

from __future__ import annotations

import pytest

from lqtui.recipe.types import TensorType
from lqtui.solve.items import Item, Option, Problem, make_problem
from lqtui.solve.knapsack import solve
from lqtui.solve.relaxation import relax
from lqtui.solve.why import Upgrade, market, sentence, why
from tests.solve.problems import llama_shape, made_up_costs

MIB = 1 << 20
Q2_K, Q4_0, Q5_0, Q8_0 = TensorType.Q2_K, TensorType.Q4_0, TensorType.Q5_0, TensorType.Q8_0

DOWN = Item(
    ("down",), (Option(Q4_0, 4 * MIB, 0.0075), Option(Q5_0, 5 * MIB, 0.0035), Option(Q8_0, 8 * MIB, 0.0005))
)
UP = Item(("up",), (Option(Q4_0, 4 * MIB, 0.004), Option(Q5_0, 6 * MIB, 0.001)))
ONLY = Item(("only",), (Option(Q8_0, MIB, 0.1),))
PROBLEM = Problem((DOWN, UP, ONLY), fixed_bytes=MIB)


def test_a_reason_has_both_upgrades_and_the_budgets_exchange_rate() -> None:
    reason = why(DOWN, solve(PROBLEM, 13 * MIB))
    assert reason.chosen is Q5_0
    assert reason.made == Upgrade(Q4_0, Q5_0, MIB, pytest.approx(0.004))
    assert reason.refused == Upgrade(Q5_0, Q8_0, 3 * MIB, pytest.approx(0.003))
    assert reason.made.per_mib == pytest.approx(0.004)
    assert reason.price_per_mib == pytest.approx(0.0015)
    assert (reason.spare_bytes, reason.spends) == (0, True)


def test_at_each_point_of_the_hull_all_made_upgrades_are_worth_the_price_and_no_refused_one_is() -> None:
    shape = llama_shape(blocks=8)
    types = tuple(map(TensorType, ("F16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K")))
    problem = make_problem(shape, types, made_up_costs(shape, seed=2))
    sizes = relax(problem).sizes
    point = solve(problem, sizes[len(sizes) // 2])
    reasons = [why(item, point) for item in problem.items]
    assert {reason.made is None for reason in reasons} == {True, False}
    for reason in reasons:
        assert reason.made is None or reason.made.per_mib >= reason.price_per_mib * (1 - 1e-9)
        assert reason.refused is None or reason.refused.per_mib <= reason.price_per_mib * (1 + 1e-9)


@pytest.mark.parametrize(
    ("item", "mib", "expected"),
    [
        (
            DOWN,
            13,
            "Q4_0 → Q5_0 costs 1.00 MiB and saves 0.004 KLD (0.004 per MiB); Q5_0 → Q8_0 would cost 3.00 MiB "
            "and save 0.003 KLD (0.001 per MiB); the last MiB of this budget went for 0.0015 KLD.",
        ),
        (
            UP,
            11.5,
            "Q4_0 → Q5_0 would cost 2.00 MiB and save 0.003 KLD (0.0015 per MiB); the last MiB of this "
            "budget went for 0.0015 KLD.",
        ),
        (
            DOWN,
            10,
            "Q4_0 → Q5_0 would cost 1.00 MiB and save 0.004 KLD (0.004 per MiB); this budget pays for no "
            "upgrade, and the best one saves 0.004 KLD per MiB.",
        ),
        (
            UP,
            16,
            "Q4_0 → Q5_0 costs 2.00 MiB and saves 0.003 KLD (0.0015 per MiB); the last MiB of this budget "
            "went for 0.001 KLD.",
        ),
        (ONLY, 13, "Q8_0 is the only type here that any budget would pay for."),
    ],
)
def test_the_sentence_sets_the_upgrades_against_the_budgets_last_mib(
    item: Item, mib: float, expected: str
) -> None:
    assert sentence(why(item, solve(PROBLEM, int(mib * MIB)))) == expected


def test_the_sentence_says_where_sizes_and_not_prices_decided() -> None:
    problem = Problem((upgrade("small", 1, 5.0), upgrade("large", 3, 9.0), upgrade("middle", 2, 4.5)))
    filled = solve(problem, int(3.5 * MIB))
    assert sentence(why(problem.items[2], filled)) == (
        "Q4_0 → Q5_0 costs 2.00 MiB and saves 4.5 KLD (2.2 per MiB); the last MiB of this budget went for "
        "3 KLD, but no better upgrade is small enough."
    )
    tight = solve(Problem(problem.items[:2]), int(3.5 * MIB))
    assert sentence(why(problem.items[0], tight)) == (
        "Q4_0 → Q5_0 would cost 1.00 MiB and save 5 KLD (5 per MiB); the last MiB of this budget went for "
        "3 KLD, but there is no room for it (0.50 MiB is left)."
    )


def test_beside_others_a_sentence_leaves_out_what_one_sentence_says_of_all() -> None:
    problem = Problem((upgrade("small", 1, 5.0), upgrade("large", 3, 9.0), upgrade("middle", 2, 4.5)))
    filled = solve(problem, int(3.5 * MIB))
    reasons = [why(item, filled) for item in problem.items]
    assert {market(reason) for reason in reasons} == {"The last MiB of this budget went for 3 KLD."}
    assert [sentence(reason, alone=False) for reason in reasons] == [
        "Q4_0 → Q5_0 costs 1.00 MiB and saves 5 KLD (5 per MiB).",
        "Q4_0 → Q5_0 would cost 3.00 MiB and save 9 KLD (3 per MiB).",
        "Q4_0 → Q5_0 costs 2.00 MiB and saves 4.5 KLD (2.2 per MiB), but no better upgrade is small enough.",
    ]


def test_a_budget_that_pays_for_everything_says_so() -> None:
    problem = Problem(
        (Item(("noisy",), (Option(Q4_0, 1, 0.2), Option(Q5_0, 2, 0.1), Option(Q8_0, 3, 0.15))),)
    )
    assert sentence(why(problem.items[0], solve(problem, 3))).endswith(
        "; this budget pays for every upgrade that saves anything."
    )


def upgrade(name: str, mib: int, saved: float) -> Item:
    """An item with one upgrade, of so many MiB."""
    return Item((name,), (Option(Q4_0, 0, saved), Option(Q5_0, mib * MIB, 0.0)))
