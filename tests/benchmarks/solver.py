"""Seconds that the best recipe takes to find and to prove, and what it saves beside a greedy choice.

Run: python -m tests.benchmarks.solver [--seeds 3] [--alone 60] [--frontier 100]

Prints Markdown tables: for each model a row for each budget, as a share of the way from the smallest recipe
to the largest. "greedy" is how much more the relaxation's rounded recipe costs, "gap" what is left unproved.
`--alone` gives HiGHS all options at once, for at most so many seconds, and tells how long that takes.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.solve.frontier import frontier, knee
from lqtui.solve.highs import Choice, minimise
from lqtui.solve.items import Problem, make_problem
from lqtui.solve.knapsack import PROVED, Solution, solve
from lqtui.solve.relaxation import relax
from tests.solve.problems import llama_shape, made_up_costs

TYPES = tuple(map(TensorType, ("F16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "IQ4_XS", "Q3_K", "Q2_K")))
SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.9)
MODELS: dict[str, tuple[ModelShape, Granularity]] = {
    "135M, 30 blocks": (llama_shape(30), Granularity.TENSOR),
    "70B, 80 blocks": (llama_shape(80, 8192, 28672, 1024, 128256, tied=False), Granularity.TENSOR),
    "70B, by block": (llama_shape(80, 8192, 28672, 1024, 128256, tied=False), Granularity.BLOCK),
}


def timed(work: Callable[[], Solution]) -> tuple[float, Solution]:
    """Seconds of wall clock, and what was found."""
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def alone(problem: Problem, best: Solution, seconds: float) -> float:
    """Seconds that HiGHS takes without the core: every option that is worth a thought at any budget."""
    relaxation = relax(problem)
    excess = relaxation.excesses(best.budget_bytes)
    items = [
        [Choice(option.bytes, over) for option, over in zip(options, values, strict=True)]
        for options, values in zip(relaxation.undominated, excess, strict=True)
    ]
    known = math.fsum(option.cost for option in relaxation.filled(best.budget_bytes))
    known -= relaxation.lower_bound(best.budget_bytes)
    budget = best.budget_bytes - problem.fixed_bytes
    began = time.perf_counter()
    minimise(items, budget, best.price, known, PROVED / 2 * best.cost, seconds)
    return time.perf_counter() - began


def budgets_table(name: str, seeds: int, limit: float) -> None:
    """Print a row for each budget, over models that differ in their costs."""
    shape, granularity = MODELS[name]
    problems = [make_problem(shape, TYPES, made_up_costs(shape, seed), granularity) for seed in range(seeds)]
    options = sum(len(item.options) for item in problems[0].items)
    print(f"\n{name}: {len(problems[0].items)} items, {options} options, {seeds} seeds\n")
    print(
        "| budget | GiB | seconds, median | seconds, most | gap, most | greedy costs more by | HiGHS alone |"
    )
    print("|---|---|---|---|---|---|---|")
    for share in SHARES:
        seconds, gaps, savings, without = [], [], [], []
        for problem in problems:
            room = problem.largest_bytes - problem.smallest_bytes
            budget = problem.smallest_bytes + round(share * room)
            took, best = timed(lambda problem=problem, budget=budget: solve(problem, budget))
            seconds.append(took)
            gaps.append(best.gap)
            savings.append(solve(problem, budget, seconds=0).cost / best.cost - 1)
            if limit:
                without.append(alone(problem, best, limit))
        print(
            f"| {share:.0%} | {budget / 2**30:.2f} | {statistics.median(seconds):.3f} | {max(seconds):.3f} "
            f"| {max(gaps):.0e} | {max(savings):.3%} | {f'{max(without):.1f} s' if without else '–'} |",
            flush=True,
        )


def frontier_table(points: int) -> None:
    """Print a row for each model's whole frontier."""
    print("\n| model | points | seconds | unproved | knee at | its cost |")
    print("|---|---|---|---|---|---|")
    for name, (shape, granularity) in MODELS.items():
        problem = make_problem(shape, TYPES, made_up_costs(shape, seed=0), granularity)
        began = time.perf_counter()
        curve = frontier(problem, points)
        took = time.perf_counter() - began
        bend = knee(curve)
        where = "–" if bend is None else f"{bend.bytes / 2**30:.2f} GiB"
        cost = "–" if bend is None else f"{bend.cost:.2g}"
        unproved = sum(not point.is_proved for point in curve)
        print(f"| {name} | {len(curve)} | {took:.2f} | {unproved} | {where} | {cost} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--alone", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--frontier", type=int, default=100, metavar="POINTS")
    options = parser.parse_args()
    for name in MODELS:
        budgets_table(name, options.seeds, options.alone)
    frontier_table(options.frontier)


if __name__ == "__main__":
    main()
