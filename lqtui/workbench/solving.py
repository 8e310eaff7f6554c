"""The best recipe for a budget: the part of the workbench that solves, measures, and refines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.recipe import Plan, resolve, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.recipe.units import Single, singles, units
from lqtui.solve.constraints import Constraints
from lqtui.solve.errors import BudgetError, SolveError
from lqtui.solve.items import Problem, effective_types, make_problem
from lqtui.workbench.importance import PROBE, Importance
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.values import Change, Job, Result, WorkbenchError
from lqtui.worker.messages import Progress

if TYPE_CHECKING:  # NumPy and HiGHS come with them, which take a tenth of a second to load
    from lqtui.solve.interaction import Interaction
    from lqtui.solve.knapsack import Solution
    from lqtui.workbench.calibration import Calibration

HOLDS = 0.1
"""A prediction holds where the measurement is no further from it than this share."""
PARTS = 0.25
"""Where the measurement on other text is further off than this, the person is warned."""
_ROUNDS = 3
_PILOTS = 3
"""Mixes along the frontier that are measured beside the one that is asked for."""
_FINE_PROBES = 6
_REMEASURED = 16
"""Singles that are measured at their chosen types, where a prediction does not hold."""
_PIXELS = 64
"""Points of a frontier: as many as a chart tells apart."""


@dataclass(frozen=True)
class Target:
    """The size that a recipe's file may have, to the byte, and what people call it.

    Where `has_room`, a target larger than any recipe is met by the largest one, and else it is a mistake.
    """

    file_bytes: int
    label: str
    has_room: bool = False


@dataclass(frozen=True)
class FrontierPoint:
    """The best recipe of its size: what is predicted of it, and what was measured on the calibration text."""

    plan: Plan
    predicted_kld: float
    measured_kld: float | None
    measured_kld_se: float | None
    is_knee: bool

    @property
    def off_by(self) -> float | None:
        """How far the measurement is from the prediction, as a share of the prediction."""
        return _off_by(self.measured_kld, self.predicted_kld)


@dataclass(frozen=True)
class Solved:
    """A recipe for a budget: what was predicted of it, and measured on text that nothing was fitted on."""

    target: Target
    plan: Plan
    solution: Solution
    predicted_kld: float
    measured: Result | None

    @property
    def off_by(self) -> float | None:
        """How far the measurement is from the prediction, as a share of the prediction."""
        return _off_by(self.measured.kld if self.measured else None, self.predicted_kld)


class Solving(Importance):
    """The part of the workbench that finds the best recipe for a budget."""

    solved: Solved | None = None
    """The recipe that was solved last."""
    _points: tuple[tuple[Solution, Plan], ...] = ()
    _knee: Solution | None = None
    _shown: tuple[tuple[object, Interaction], tuple[FrontierPoint, ...]] | None = None

    def target_of_size(self, file_bytes: int) -> Target:
        """A file of at most so many bytes."""
        return Target(file_bytes, f"{file_bytes / 2**20:.4g} MiB")

    def target_of_bpw(self, bpw: float) -> Target:
        """A file of at most so many bits per weight, over all tensors, as llama-quantize counts them."""
        shape = self._open_model().shape
        return Target(shape.meta_bytes + int(bpw * shape.n_weights / 8), f"{bpw:g} bpw")

    async def target_of_memory(self, budget: int, *, vram: bool) -> Target:
        """A file with which llama.cpp runs in so many bytes of VRAM, or of RAM.

        The context and the types of its KV cache are those that memory is told for. Where llama.cpp can use
        no GPU here, VRAM is taken for memory of one device that holds all.
        """
        plan = self._current_plan()
        fit = await self.known_fit(plan)
        if fit.memory is None:
            raise WorkbenchError(
                f"the memory of a context of {fit.n_ctx} tokens cannot be told: {fit.problem}"
            )
        needed = (fit.memory.on_gpus or fit.memory.needed) if vram else fit.memory.in_ram
        kind = "VRAM" if vram else "RAM"
        size = f"{budget / 2**30:.4g} GiB" if budget >= 2**30 else f"{budget / 2**20:.4g} MiB"
        label = f"{size} {kind} at {fit.n_ctx} tokens"
        beside = needed - plan.data_bytes
        if budget <= beside:
            raise WorkbenchError(
                f"a context of {fit.n_ctx} tokens alone takes {beside / 2**20:,.0f} MiB of {kind}, and the "
                f"budget is {budget / 2**20:,.0f} MiB; choose a smaller context, or another KV type"
            )
        return Target(plan.shape.meta_bytes + budget - beside, label, has_room=True)

    def smallest_and_largest(self, types: Sequence[TensorType]) -> tuple[int, int]:
        """The file sizes in bytes between which recipes of some candidate types lie."""
        problem = self._problem(types, Granularity.TENSOR, Constraints(), None)
        return problem.smallest_bytes, problem.largest_bytes

    def fit_recipe(
        self,
        target: Target,
        types: Sequence[TensorType],
        by: Granularity = Granularity.TENSOR,
        constraints: Constraints | None = None,
    ) -> Job:
        """Find in the background the recipe of least KLD for a target; it becomes the current one.

        What is not known yet is estimated and measured first. A prediction that a measurement does not bear
        out is corrected, and the recipe sought anew. At last it is measured on text that nothing was fitted
        on. Raises WorkbenchError at once where no recipe can meet the target.
        """
        constraints = constraints or Constraints()
        target = self._checked(target, self._problem(types, by, constraints, None))

        async def work(running: RunningJob) -> str:
            calibration = await self._known_costs(running, types, by)
            solution = await self._solve_until_it_holds(calibration, target, types, by, constraints, running)
            plan = self._named(solution, target)
            predicted = calibration.predict(plan) or 0.0
            result = await self._report(plan, running)
            self.solved = Solved(target, plan, solution, predicted, result)
            if self.model is not None and self.model.shape is plan.shape:
                self.use(plan.recipe, f"fit {target.label}")
            self._tell(Change.IMPORTANCE)
            return _told(self.solved)

        return self._add_job("fit", f"fit {target.label}", work)

    def find_frontier(
        self,
        types: Sequence[TensorType],
        by: Granularity = Granularity.TENSOR,
        constraints: Constraints | None = None,
    ) -> Job:
        """Find in the background the best recipe of every size, and measure some of them."""
        constraints = constraints or Constraints()
        self._problem(types, by, constraints, None)

        async def work(running: RunningJob) -> str:
            calibration = await self._known_costs(running, types, by)
            problem = self._problem(types, by, constraints, calibration)
            await self._draw(problem)
            await self._measure_mixes(calibration, self._pilots(_PILOTS + 1), running)
            worst = max((abs(point.off_by) for point in self.frontier if point.off_by), default=0.0)
            return f"{len(self._points)} recipes, measured ones within {worst:.0%} of their prediction"

        return self._add_job("frontier", "find the frontier", work)

    @property
    def frontier(self) -> tuple[FrontierPoint, ...]:
        """The best recipes from the smallest on; empty where they were not sought."""
        calibration = self._current_calibration()
        if calibration is None:
            return ()
        seen = (self._points, calibration.interaction)
        if self._shown is None or self._shown[0] != seen:
            self._shown = (seen, tuple(self._point(calibration, *pair) for pair in self._points))
        return self._shown[1]

    def _point(self, calibration: Calibration, solution: Solution, plan: Plan) -> FrontierPoint:
        row = calibration.mixes.rows.get(plan.digest)
        return FrontierPoint(
            plan,
            calibration.predict(plan) or 0.0,
            row.kld if row else None,
            row.kld_se if row else None,
            solution is self._knee,
        )

    def why(self, tensor: str) -> str:
        """Why the recipe solved last gave a tensor its type, in a sentence; empty where it did not."""
        if self.solved is None or self.model is None or self.solved.plan.shape is not self.model.shape:
            return ""
        from lqtui.solve.why import sentence, why

        problem = self.solved.solution.problem
        position = problem.position_of.get(tensor)
        return "" if position is None else sentence(why(problem.items[position], self.solved.solution))

    # Inside

    def _problem(
        self,
        types: Sequence[TensorType],
        by: Granularity,
        constraints: Constraints,
        calibration: Calibration | None,
    ) -> Problem:
        """The choices that there are; without a calibration all cost nothing."""
        shape = self._open_model().shape
        free = dict.fromkeys(TensorType, 0.0)
        nothing = {tensor.name: free for tensor in quantizable_tensors(shape)}
        costs = calibration.costs.costs if calibration else nothing
        try:
            return make_problem(shape, types, costs, by, constraints)
        except SolveError as error:
            raise WorkbenchError(str(error)) from None

    def _checked(self, target: Target, problem: Problem) -> Target:
        """A target that some recipe meets, which this one must be unless it has room."""
        smallest, largest = problem.smallest_bytes, problem.largest_bytes
        if target.has_room:
            target = replace(target, file_bytes=min(target.file_bytes, largest))
        if not smallest <= target.file_bytes <= largest:
            error = BudgetError(target.file_bytes, smallest, largest)
            raise WorkbenchError(f"{target.label}: {error}")
        return target

    async def _known_costs(
        self, running: RunningJob, types: Sequence[TensorType], by: Granularity
    ) -> Calibration:
        """See that estimates and singles are there from which the costs of some types follow."""
        shape = self._open_model().shape
        lost = _never_had(shape, types)
        if lost:
            running.notice(
                f"no tensor of {shape.name} can have {lost}: its rows do not divide into their blocks"
            )
        calibration = await self._calibrated(running)
        await self._estimate(calibration, running, [*types, PROBE])
        await self._measure_singles(calibration, singles(shape, units(shape, by), PROBE), running)
        costliest = sorted(calibration.view.scores, key=lambda score: -score.kld)
        fine = [score.unit for score in costliest if score.unit.block is not None][:_FINE_PROBES]
        await self._measure_singles(calibration, singles(shape, fine, TensorType.Q8_0), running)
        return calibration

    async def _solve_until_it_holds(
        self,
        calibration: Calibration,
        target: Target,
        types: Sequence[TensorType],
        by: Granularity,
        constraints: Constraints,
        running: RunningJob,
    ) -> Solution:
        """Solve, measure, and correct what the prediction rests on, until it holds or nothing is left."""
        from lqtui.solve.knapsack import solve

        for number in range(_ROUNDS):
            problem = self._problem(types, by, constraints, calibration)
            running.progress(Progress("solving", number, _ROUNDS, "rounds"))
            if number == 0:
                await self._draw(problem)
            solution = await asyncio.to_thread(solve, problem, target.file_bytes)
            plan = self._named(solution, target)
            others = self._pilots(_PILOTS) if number == 0 else []
            await self._measure_mixes(calibration, [plan, *others], running)
            row, predicted = calibration.mixes.rows.get(plan.digest), calibration.predict(plan)
            if row is None or row.kld is None or not predicted or abs(row.kld / predicted - 1) <= HOLDS:
                break
            doubtful = self._doubtful(calibration, solution)
            if not doubtful:
                break
            await self._measure_singles(calibration, doubtful, running)
        await self._draw(problem)
        return solution

    def _doubtful(self, calibration: Calibration, solution: Solution) -> list[Single]:
        """The costliest picks whose costs were scaled from another type and not measured, as singles."""
        shape, costs = self._open_model().shape, calibration.costs
        found = []
        plan = self._named(solution, None)
        for unit in units(shape, Granularity.TENSOR):
            (name,) = unit.names
            effective = plan.by_name[name].effective
            cost = costs.costs.get(name, {}).get(effective)
            if cost and (name, effective) not in costs.measured:
                found.append((cost, singles(shape, [unit], effective)))
        found.sort(key=lambda pair: -pair[0])
        return [single for _, alone in found[:_REMEASURED] for single in alone]

    async def _measure_mixes(
        self, calibration: Calibration, plans: Sequence[Plan], running: RunningJob
    ) -> None:
        from lqtui.workbench.measuring import measure_plans

        await measure_plans(
            plans,
            calibration.mixes,
            calibration.corpus.path,
            self.paths,
            running,
            lambda: None,
            fresh=False,
            speed=False,
        )
        calibration.add_mixes(plans)
        self._tell(Change.IMPORTANCE)

    async def _draw(self, problem: Problem) -> None:
        """Find the frontier of a problem."""
        from lqtui.solve.frontier import frontier, knee

        points = await asyncio.to_thread(frontier, problem, _PIXELS)
        self._points = tuple((point, self._named(point, None)) for point in points)
        self._knee = knee(points)

    def _pilots(self, count: int) -> list[Plan]:
        """Recipes from all over the frontier, at even distances in the logarithm of their costs.

        Those that cost next to nothing are left out: nobody asks how little.
        """
        import numpy as np

        from lqtui.solve.frontier import NEGLIGIBLE

        points = [(solution.cost, plan) for solution, plan in self._points if solution.cost > NEGLIGIBLE]
        if not points:
            return []
        heights = np.log([cost for cost, _ in points])
        wanted = np.linspace(heights[0], heights[-1], count + 2)[1:-1]
        chosen = {int(np.abs(heights - height).argmin()) for height in wanted}
        return [points[i][1] for i in sorted(chosen)]

    def _named(self, solution: Solution, target: Target | None) -> Plan:
        shape = self._open_model().shape
        label = target.label if target else f"{solution.bytes / 2**20:.4g} MiB"
        name = f"fit-{label.replace(' ', '-')}"
        description = f"least predicted KLD within {solution.budget_bytes:,} bytes"
        return resolve(shape, with_types(shape, name, solution.types, description))

    async def _report(self, plan: Plan, running: RunningJob) -> Result | None:
        """Measure a plan on the text that results are told on."""
        from lqtui.workbench.measuring import measure_plans

        book, corpus = await self._ready_book(running)
        await measure_plans(
            [plan],
            book,
            corpus,
            self.paths,
            running,
            lambda: self._tell(Change.RESULTS),
            fresh=False,
            speed=False,
        )
        return book.rows.get(plan.digest)


def _never_had(shape: ModelShape, types: Sequence[TensorType]) -> str:
    """The candidates that every tensor would fall back from, as a list for people; empty where none is."""
    had = {kind for tensor in quantizable_tensors(shape) for kind in effective_types(tensor, types)}
    return ", ".join(kind for kind in types if kind not in had)


def _off_by(measured: float | None, predicted: float) -> float | None:
    return measured / predicted - 1 if measured is not None and predicted else None


def _told(solved: Solved) -> str:
    """The outcome in one line: predicted and measured, and whether they part."""
    size = f"{solved.plan.file_bytes / 2**20:.1f} MiB"
    text = f"{size}, predicted KLD {solved.predicted_kld:.4g}"
    if solved.measured is None or solved.measured.kld is None:
        return text
    text += f", measured {solved.measured.kld:.4g} ± {solved.measured.kld_se:.2g} on other text"
    off = solved.off_by
    return (
        f"{text}; they part by {off:+.0%}, so trust what was measured" if off and abs(off) > PARTS else text
    )
