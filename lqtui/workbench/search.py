"""The search for the best recipe: solve, measure what was promised, correct what the promise rests on."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.recipe import Plan
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.units import Single, singles, units
from lqtui.solve.frontier import NEGLIGIBLE, frontier, knee
from lqtui.solve.items import Problem
from lqtui.solve.knapsack import Solution, solve
from lqtui.store.paths import Paths
from lqtui.workbench.budgets import Question, Target, size_label, solved_plan
from lqtui.workbench.calibration import Calibration, Drawn
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.measuring import measure_plans
from lqtui.worker.messages import Progress

HOLDS = 0.1
"""A prediction holds where the measurement is no further from it than this share."""
_ROUNDS = 3
PILOTS = 3
"""Mixes along the frontier that are measured beside the one that is asked for."""
_REMEASURED = 16
"""Singles that are measured at their chosen types, where a prediction does not hold."""
_POINTS = 64
"""Points of a frontier: as many as a chart tells apart."""
_SECONDS = 0.2
"""How long to look for one of them; on most models a thousandth of it will do."""

MeasureSingles = Callable[[Sequence[Single]], Awaitable[None]]


@dataclass
class Search:
    """One search on one calibration, whose singles are measured by now; all of it within one job."""

    calibration: Calibration
    question: Question
    paths: Paths
    running: RunningJob
    measure_singles: MeasureSingles
    changed: Callable[[], None]

    @property
    def shape(self) -> ModelShape:
        """The model's."""
        return self.calibration.singles.model.shape

    def problem(self) -> Problem:
        """The choices, with what they cost as far as is known now."""
        return self.question.problem(self.shape, self.calibration.costs.costs)

    async def best(self, target: Target) -> Solution:
        """The best recipe within a target, sought anew until what is predicted of it holds.

        A prediction is held against the measurement before it learns from that. Of all recipes that were
        tried the one that measured best is taken.
        """
        tried: dict[str, tuple[float, Solution]] = {}
        for number in range(_ROUNDS):
            self.running.progress(Progress("solving", number, _ROUNDS, "rounds"))
            problem = self.problem()
            solution = await asyncio.to_thread(solve, problem, target.file_bytes)
            plan = solved_plan(self.shape, solution, target.label, self.question.imatrix)
            if plan.digest in tried:
                break
            if number == 0:
                await self.draw(problem)
            others = self.pilots(PILOTS) if number == 0 else []
            *_, (predicted, measured) = await self.measure_mixes([*others, plan])
            tried[plan.digest] = (measured, solution)
            if predicted and abs(measured / predicted - 1) <= HOLDS:
                break
            doubtful = self._doubtful(plan)
            if not doubtful or number == _ROUNDS - 1:
                break
            await self.measure_singles(doubtful)
        await self.draw(self.problem())
        return min(tried.values(), key=lambda pair: pair[0])[1]

    async def draw(self, problem: Problem) -> None:
        """Find the frontier of a problem, and keep it with the calibration that it follows from."""
        left = threading.Event()
        try:
            points = await asyncio.to_thread(frontier, problem, _POINTS, _SECONDS, left.is_set)
        finally:  # a cancelled job leaves the thread behind, which must not go on for nobody
            left.set()
        imatrix = self.question.imatrix
        plans = [solved_plan(self.shape, point, size_label(point.bytes, 4), imatrix) for point in points]
        bend = knee(points)
        self.calibration.draw(
            [Drawn(point, plan, point is bend) for point, plan in zip(points, plans, strict=True)]
        )
        self.changed()

    def pilots(self, count: int) -> list[Plan]:
        """Recipes from all over the frontier, at even distances in the logarithm of their costs.

        Those that cost next to nothing are left out: nobody asks how little.
        """
        points = [
            (one.solution.cost, one.plan) for one in self.calibration.drawn if one.solution.cost > NEGLIGIBLE
        ]
        if not points:
            return []
        heights = np.log([cost for cost, _ in points])
        wanted = np.linspace(heights[0], heights[-1], count + 2)[1:-1]
        chosen = {int(np.abs(heights - height).argmin()) for height in wanted}
        return [points[i][1] for i in sorted(chosen)]

    async def measure_mixes(self, plans: Sequence[Plan]) -> list[tuple[float, float]]:
        """Measure mixes on the calibration text; what is predicted of each, and what was measured.

        None is predicted from its own measurement, though it may be known from an earlier search.
        """
        await measure_plans(
            plans,
            self.calibration.mixes,
            self.calibration.corpus.path,
            self.paths,
            self.running,
            lambda: None,
            fresh=False,
            speed=False,
        )
        pairs = []
        for plan in plans:
            row = self.calibration.mixes.rows.get(plan.digest)
            measured = row.kld if row and row.kld is not None else math.inf
            pairs.append((self.calibration.foretell(plan) or 0.0, measured))
            self.calibration.add_mixes([plan])
        self.changed()
        return pairs

    def _doubtful(self, plan: Plan) -> list[Single]:
        """A plan's costliest tensors whose costs were scaled from another type, not measured, as singles."""
        costs = self.calibration.costs
        found = []
        for unit in units(self.shape, Granularity.TENSOR):
            (name,) = unit.names
            kind = plan.by_name[name].effective
            cost = costs.costs.get(name, {}).get(kind)
            if cost and (name, kind) not in costs.measured:
                found.append((cost, singles(self.shape, [unit], kind, self.question.imatrix)))
        found.sort(key=lambda pair: -pair[0])
        return [single for _, alone in found[:_REMEASURED] for single in alone]
