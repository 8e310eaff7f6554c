"""The best recipe within a budget: a multiple-choice knapsack, solved to proved optimality."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lqtui.recipe.types import TensorType
from lqtui.solve.errors import BudgetError
from lqtui.solve.highs import Choice, minimise
from lqtui.solve.items import Item, Option, Problem
from lqtui.solve.relaxation import Relaxation, relax

PROVED = 1e-9
"""A recipe counts as the best one where none can cost less by more than this share of its cost."""
LEAST_COST = 1e-6
"""In nats; shares of less are taken of this, where rounding would show."""

_CORE = 100
"""So many options beside the best ones are tried first: HiGHS takes some tenths of a second for them."""
_WIDENING = 8.0


@dataclass(frozen=True)
class Solution:
    """A recipe that was chosen: an option for each item of a problem, within a budget."""

    problem: Problem = field(repr=False)
    picks: tuple[Option, ...]
    """In the order of the problem's items."""
    budget_bytes: int
    price: float
    """Nats that the last byte of the budget buys: its Lagrange multiplier."""
    gap: float
    """No recipe within the budget costs less by more than this share of `cost`, or of `LEAST_COST`."""

    @cached_property
    def bytes(self) -> int:
        """Size of the file, to the byte."""
        return self.problem.fixed_bytes + sum(option.bytes for option in self.picks)

    @cached_property
    def cost(self) -> float:
        """Sum of the costs of all picks, in nats."""
        return math.fsum(option.cost for option in self.picks)

    @cached_property
    def types(self) -> dict[str, TensorType]:
        """The type to ask for, for each quantizable tensor: what `with_types` takes."""
        items = zip(self.problem.items, self.picks, strict=True)
        return {name: option.type for item, option in items for name in item.names}

    @property
    def is_proved(self) -> bool:
        """Whether it is proved that no recipe within the budget is better."""
        return self.gap <= PROVED

    def option_of(self, item: Item) -> Option:
        """What was chosen for an item."""
        return self.picks[self.problem.position_of[item.names[0]]]


def solve(problem: Problem, budget_bytes: int, seconds: float = 10.0) -> Solution:
    """The recipe of least cost whose file has at most `budget_bytes`.

    The relaxation gives a good recipe and a bound on all others, so that an option whose excess at the
    budget's price is larger than the distance between the two is in no better recipe. HiGHS chooses among
    the rest, first among the most promising of them, which hardly ever leaves anything to look for outside.
    Source of the core: Pisinger, "A minimal algorithm for the Multiple-choice Knapsack Problem", European
    Journal of Operational Research 83 (1995).

    Args:
        problem: The choices.
        budget_bytes: Size that the file may have, to the byte.
        seconds: After about this long the best recipe so far is returned, with the `gap` that is left.

    Raises:
        BudgetError: No recipe is that small, or none is that large.
    """
    if not problem.smallest_bytes <= budget_bytes <= problem.largest_bytes:
        raise BudgetError(budget_bytes, problem.smallest_bytes, problem.largest_bytes)
    deadline = time.monotonic() + seconds
    relaxation = relax(problem)
    price = relaxation.price(budget_bytes)
    excess = relaxation.excesses(budget_bytes)
    relaxed = bound = relaxation.lower_bound(budget_bytes)
    best: Sequence[Option] = relaxation.filled(budget_bytes)
    best_cost = _cost(best)
    width = _promising(excess)
    while best_cost - bound > PROVED * _scale(best_cost) and (left := deadline - time.monotonic()) > 0:
        complete = width >= best_cost - relaxed
        width = min(width, best_cost - relaxed)
        core = _core(relaxation, excess, width)
        found = minimise(
            [[Choice(option.bytes, over) for option, over in choices] for choices in core],
            budget_bytes - problem.fixed_bytes,
            price,
            known=best_cost - relaxed,
            tolerance=PROVED / 2 * _scale(best_cost),
            seconds=left,
        )
        if found.picks is not None:
            picks = [choices[pick][0] for choices, pick in zip(core, found.picks, strict=True)]
            if (cost := _cost(picks)) < best_cost:
                best, best_cost = picks, cost
        bound = max(bound, min(best_cost, relaxed + found.bound, math.inf if complete else relaxed + width))
        if complete:
            break
        width = max(_WIDENING * width, (best_cost - relaxed) / _WIDENING**2)
    gap = max(0.0, best_cost - bound) / _scale(best_cost)
    return Solution(problem, tuple(best), budget_bytes, price, gap)


def _scale(cost: float) -> float:
    return max(abs(cost), LEAST_COST)


def _promising(excess: list[list[float]]) -> float:
    """The excess that some `_CORE` options beside the best ones do not exceed."""
    ranked = sorted(over for values in excess for over in values)
    return ranked[min(len(excess) + _CORE, len(ranked)) - 1]


def _core(
    relaxation: Relaxation, excess: list[list[float]], width: float
) -> list[list[tuple[Option, float]]]:
    """For each item the options whose excess is within a width, and their excess."""
    widest = width * (1 + PROVED)  # rounding leaves no option out
    return [
        [(option, over) for option, over in zip(options, values, strict=True) if over <= widest]
        for options, values in zip(relaxation.undominated, excess, strict=True)
    ]


def _cost(picks: Sequence[Option]) -> float:
    return math.fsum(option.cost for option in picks)
