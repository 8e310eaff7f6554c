"""The whole trade-off between size and cost: the best recipe of each size, and where it bends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from lqtui.solve.items import Problem
from lqtui.solve.knapsack import Solution, solve
from lqtui.solve.relaxation import Relaxation, relax

NEGLIGIBLE = 1e-4
"""Nats of mean KLD that nobody would notice: Q8_0 throughout costs the demo model about twice as much."""


def frontier(
    problem: Problem,
    points: int = 100,
    seconds: float = 10.0,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Solution]:
    """The best recipes from the smallest to the one of least cost, each larger and better than the last.

    There are at most so many, at about even distances in size. Most lie on the lower convex hull of all
    recipes, where the relaxation names them without a search: each is the best one of its size. Where no
    hull point lies between two sizes, since one large tensor changes its type there, the knapsack is solved.

    Args:
        problem: The choices.
        points: The most recipes that are wanted, at least 2.
        seconds: How long to look for one recipe.
        stopped: Asked before each recipe; once it is true, those that were found till then are all.
    """
    relaxation = relax(problem)
    smallest, largest = relaxation.sizes[0], relaxation.sizes[-1]
    found = [_on_hull(relaxation, 0)]
    for i in range(1, points):
        if stopped():
            break
        budget = smallest + (largest - smallest) * i // (points - 1)
        steps = relaxation.affordable(budget)
        on_hull = relaxation.sizes[steps] > smallest + (largest - smallest) * (i - 1) // (points - 1)
        best = _on_hull(relaxation, steps) if on_hull else solve(problem, budget, seconds)
        if best.cost < found[-1].cost and best.bytes > found[-1].bytes:
            found.append(best)
    return found


def knee(points: Sequence[Solution], negligible: float = NEGLIGIBLE) -> Solution | None:
    """The recipe after which each further byte saves much less: where the frontier bends most.

    With size x and ln(cost) y, both scaled to 0 to 1 between the first and the last point, the knee is the
    point farthest below the chord between these two: max of 1 − x − y. This is the offline case of Kneedle:
    Satopaa, Albrecht, Irwin and Raghavan, "Finding a 'Kneedle' in a Haystack", ICDCS Workshops (2011).

    The last point is the first one that costs at most `negligible`, and counts as if it cost that: what lies
    beyond saves nothing that matters, but in logarithms it would look as steep as all before. None where no
    point lies below the chord.

    Args:
        points: A frontier, from the smallest recipe on.
        negligible: Cost that nobody would notice, in nats: more than 0.
    """
    end = next((i for i, point in enumerate(points) if point.cost <= negligible), len(points) - 1)
    curve = [(point.bytes, math.log(max(point.cost, negligible))) for point in points[: end + 1]]
    if len(curve) < 3:
        return None
    (least_bytes, highest), (most_bytes, lowest) = curve[0], curve[-1]
    below = [
        1 - (size - least_bytes) / (most_bytes - least_bytes) - (height - lowest) / (highest - lowest)
        for size, height in curve
    ]
    deepest = max(range(len(below)), key=below.__getitem__)
    return points[deepest] if 0 < deepest < end and below[deepest] > 0 else None


def _on_hull(relaxation: Relaxation, steps: int) -> Solution:
    """The recipe after the first so many upgrades, which no other of its size beats."""
    size = relaxation.sizes[steps]
    return Solution(relaxation.problem, tuple(relaxation.after(steps)), size, relaxation.price(size), gap=0.0)
