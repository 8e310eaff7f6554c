"""The continuous relaxation of the choices: which upgrades a budget buys, one after the other, and its price.

Along the lower convex hull of each item's options, the upgrades of all items sorted by nats saved per byte
solve the linear relaxation for every budget at once: each prefix of them is a recipe that no other of its
size beats, and the rate of the last one is the budget's Lagrange multiplier. Source: Sinha and Zoltners, "The
Multiple-Choice Knapsack Problem", Operations Research 27 (1979).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

from lqtui.solve.items import Option, Problem


class Step(NamedTuple):
    """An upgrade of one item, by its position, from one option of its hull to the next."""

    item: int
    option: Option
    """What the item takes after it."""
    bytes: int
    rate: float
    """Nats saved per byte."""


@dataclass(frozen=True, eq=False)
class Relaxation:
    """All upgrades of a problem from its smallest recipe to its best one, the best bargain first."""

    problem: Problem
    undominated: tuple[tuple[Option, ...], ...]
    """For each item the options that no other beats on both bytes and cost, from the fewest bytes on."""
    steps: tuple[Step, ...]
    sizes: tuple[int, ...]
    """Size of the file before the first step, and after each."""

    def after(self, steps: int) -> list[Option]:
        """Each item's option once the first so many steps are made: the best recipe of its size."""
        picks = [options[0] for options in self.undominated]
        for step in self.steps[:steps]:
            picks[step.item] = step.option
        return picks

    def affordable(self, budget_bytes: int) -> int:
        """How many steps a budget that the smallest recipe keeps pays for, in their order."""
        return bisect_right(self.sizes, budget_bytes) - 1

    def filled(self, budget_bytes: int) -> list[Option]:
        """A good recipe within a budget: the steps in their order, then each later one that still fits."""
        affordable = self.affordable(budget_bytes)
        picks = self.after(affordable)
        spare = budget_bytes - self.sizes[affordable]
        for step in self.steps[affordable:]:
            more = step.option.bytes - picks[step.item].bytes
            if more <= spare:
                picks[step.item] = step.option
                spare -= more
        return picks

    def price(self, budget_bytes: int) -> float:
        """What the last byte of a budget buys, in nats: the rate of the step that it is spent on.

        0 for a budget that pays for everything; for one that pays for nothing, the rate of the first step.
        """
        if not self.steps or budget_bytes > self.sizes[-1]:
            return 0.0
        return self.steps[max(bisect_left(self.sizes, budget_bytes) - 1, 0)].rate

    def lower_bound(self, budget_bytes: int) -> float:
        """What the relaxation costs within a budget, in nats: no recipe costs less.

        It equals the Lagrangian bound at the budget's price, in a form that loses no digits.
        """
        steps = self.affordable(budget_bytes)
        cost = math.fsum(option.cost for option in self.after(steps))
        return cost - self.price(budget_bytes) * (budget_bytes - self.sizes[steps])

    def excesses(self, budget_bytes: int) -> list[list[float]]:
        """How much worse each undominated option is than its item's best one at the budget's price, in nats.

        A recipe costs as much above the bound as its options' excesses and its unspent bytes add up to.
        """
        price = self.price(budget_bytes)
        best = self.after(self.affordable(budget_bytes))
        return [
            [max(0.0, o.cost - own.cost + price * (o.bytes - own.bytes)) for o in options]
            for own, options in zip(best, self.undominated, strict=True)
        ]


@lru_cache(maxsize=8)
def relax(problem: Problem) -> Relaxation:
    """The relaxation of a problem."""
    kept = tuple(undominated(item.options) for item in problem.items)
    steps = sorted(
        (
            Step(i, after, after.bytes - before.bytes, _rate(before, after))
            for i, options in enumerate(kept)
            for before, after in pairwise(_hull(options))
        ),
        key=lambda step: -step.rate,
    )
    smallest = problem.fixed_bytes + sum(options[0].bytes for options in kept)
    sizes = accumulate((step.bytes for step in steps), initial=smallest)
    return Relaxation(problem, kept, tuple(steps), tuple(sizes))


def undominated(options: Iterable[Option]) -> tuple[Option, ...]:
    """The options that no other beats on both bytes and cost, from the fewest bytes on."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda option: (option.bytes, option.cost)):
        if not kept or option.cost < kept[-1].cost:
            kept.append(option)
    return tuple(kept)


def _hull(options: tuple[Option, ...]) -> list[Option]:
    """The lower convex hull of undominated options: upgrades along it are worth less and less per byte."""
    hull: list[Option] = []
    for option in options:
        while len(hull) > 1 and _rate(hull[-2], hull[-1]) <= _rate(hull[-1], option):
            hull.pop()
        hull.append(option)
    return hull


def _rate(before: Option, after: Option) -> float:
    return (before.cost - after.cost) / (after.bytes - before.bytes)
