"""The best recipe for a budget: the part of the workbench that seeks it, and tells what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.recipe import Plan
from lqtui.recipe.types import TensorType
from lqtui.recipe.units import singles, units
from lqtui.solve.constraints import Constraints
from lqtui.workbench.asked import AskedFrontier
from lqtui.workbench.budgets import (
    FrontierPoint,
    Question,
    Solved,
    Target,
    Why,
    size_label,
    solved_plan,
    worst,
)
from lqtui.workbench.expectations import search_after_probes
from lqtui.workbench.importance import PROBE, Importance
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.values import Change, Job, Result, WorkbenchError

if TYPE_CHECKING:  # NumPy and HiGHS come with it, which take a tenth of a second to load
    from lqtui.workbench.calibration import Calibration
    from lqtui.workbench.search import Search

_FINE_PROBES = 6
"""The costliest units are measured at Q8_0 too, which tells what rounded activations cost."""


class Solving(Importance):
    """The part of the workbench that finds the best recipe for a budget."""

    # Budgets

    def target_of_size(self, file_bytes: int) -> Target:
        """A file of at most so many bytes."""
        return Target(file_bytes, size_label(file_bytes))

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
        beside = needed - plan.data_bytes
        if budget <= beside:
            raise WorkbenchError(
                f"a context of {fit.n_ctx} tokens alone takes {beside / 2**20:,.0f} MiB of {kind}, and the "
                f"budget is {budget / 2**20:,.0f} MiB; choose a smaller context, or another KV type"
            )
        label = f"{size_label(budget)} {kind} at {fit.n_ctx} tokens"
        return Target(plan.shape.meta_bytes + budget - beside, label, has_room=True)

    def smallest_and_largest(self, types: Sequence[TensorType]) -> tuple[int, int]:
        """The file sizes in bytes between which recipes of some candidate types lie."""
        problem = Question(tuple(types), imatrix=self.imatrix).problem(self._open_model().shape)
        return problem.smallest_bytes, problem.largest_bytes

    # Seeking

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
        question = Question(tuple(types), by, constraints or Constraints(), self.imatrix)
        met = question.met(target, self._open_model().shape)
        asked_in = self._open_history()

        async def work(running: RunningJob) -> str:
            search = await self._search(question, running)
            calibration = search.calibration
            solution = await search.best(met)
            plan = solved_plan(search.shape, solution, met.label, question.imatrix)
            predicted = calibration.predict(plan) or 0.0
            result = await self._report(plan, calibration, running)
            solved = calibration.solved = Solved(met, plan, solution, predicted, result)
            if self.model is not None and self.model.shape is plan.shape:
                self.use(plan.recipe, f"fit {met.label}", asked_in)
            self._tell(Change.IMPORTANCE)
            await self._remember_found(calibration)
            return solved.outcome

        asked = self._asked_for(question, met)
        return self._add_job("fit", f"fit {met.label}", work, asked=asked)

    def find_frontier(
        self,
        types: Sequence[TensorType],
        by: Granularity = Granularity.TENSOR,
        constraints: Constraints | None = None,
    ) -> Job:
        """Find in the background the best recipe of every size, and measure some of them."""
        from lqtui.workbench.search import PILOTS

        question = Question(tuple(types), by, constraints or Constraints(), self.imatrix)
        question.problem(self._open_model().shape)

        async def work(running: RunningJob) -> str:
            search = await self._search(question, running)
            await search.draw(search.problem())
            pairs = await search.measure_mixes(search.pilots(PILOTS + 1))
            await self._remember_found(search.calibration)
            return _frontier_outcome(len(search.calibration.drawn), pairs)

        return self._add_job("frontier", "find the frontier", work, asked=self._asked_for(question))

    # What was found

    @property
    def solved(self) -> Solved | None:
        """The recipe that was solved last for the open model on the texts of now."""
        calibration = self._current_calibration()
        return calibration.solved if calibration else None

    @property
    def frontier(self) -> tuple[FrontierPoint, ...]:
        """The best recipes from the smallest on; empty where they were not sought."""
        calibration = self._current_calibration()
        return calibration.frontier if calibration else ()

    def why(self, tensors: Sequence[str]) -> Why:
        """Why the recipe solved last gave some tensors their types; nothing is said where it did not.

        Of those that have another type in the current recipe, the sentence says which one it speaks of.
        """
        solved = self.solved
        if solved is None:
            return Why()
        from lqtui.solve import why

        solution, now = solved.solution, self._current_plan().by_name
        positions = {name: solution.problem.position_of.get(name) for name in tensors}
        reasons = {
            name: why.why(solution.problem.items[position], solution)
            for name, position in positions.items()
            if position is not None
        }
        alone = len({positions[name] for name in reasons}) == 1
        said = {name: why.sentence(reason, alone=alone) for name, reason in reasons.items()}
        for name in said:
            if (given := solved.plan.by_name[name].effective) is not now[name].effective:
                said[name] = f"{given} in the recipe fitted to {solved.target.label}: {said[name]}"
        together = not alone and any(reason.has_choice for reason in reasons.values())
        return Why(said, why.market(next(iter(reasons.values()))) if together else "")

    # Inside

    def _asked_for(self, question: Question, target: Target | None = None) -> AskedFrontier:
        bounds = question.constraints
        pins, floors = dict(bounds.pins), dict(bounds.floors)
        asked = AskedFrontier(question.types, question.by, pins, floors, bounds.ties)
        if target is None:
            return asked
        of = {"file_bytes": target.file_bytes, "label": target.label, "has_room": target.has_room}
        return msgspec.structs.replace(asked, **of)

    async def _search(self, question: Question, running: RunningJob) -> Search:
        """A search that can begin: estimates and singles are there from which costs follow."""
        from lqtui.workbench.search import Search
        from lqtui.workbench.sensitivity import stages_of_singles

        calibration = await self._calibrated(running, imatrix=question.imatrix)
        shape = calibration.singles.model.shape
        lost = question.never_had(shape)
        if lost:
            running.notice(
                f"no tensor of {shape.name} can have {lost}: its rows do not divide into their blocks"
            )
        types = [*question.wanted_types, PROBE]
        probes = singles(shape, units(shape, question.by), PROBE, question.imatrix)
        running.expect(
            [
                *self._stages_of_estimate(calibration, types),
                *stages_of_singles(probes, 1, calibration.singles),
                *search_after_probes(shape, calibration.told.settings),
            ]
        )
        await self._estimate(calibration, running, types)
        await self._measure_singles(calibration, probes, running)
        costliest = sorted(calibration.view.scores, key=lambda score: -score.kld)
        fine = [score.unit for score in costliest if score.unit.block is not None][:_FINE_PROBES]
        fine_probes = singles(shape, fine, TensorType.Q8_0, question.imatrix)
        await self._measure_singles(calibration, fine_probes, running)

        def changed() -> None:
            self._remember_asked(calibration)
            self._tell(Change.IMPORTANCE)

        return Search(
            calibration,
            question,
            self.paths,
            running,
            lambda wanted: self._measure_singles(calibration, wanted, running),
            changed,
        )

    async def _report(self, plan: Plan, calibration: Calibration, running: RunningJob) -> Result | None:
        """Measure a plan on the text that results are told on."""
        from lqtui.workbench.measuring import measure_plans

        book = calibration.told
        await measure_plans(
            [plan],
            book,
            calibration.told_on,
            self.paths,
            running,
            lambda: self._tell(Change.RESULTS),
            fresh=False,
            speed=False,
        )
        self._show_measured([plan], book)
        return book.rows.get(plan.digest)


def _frontier_outcome(recipes: int, pairs: Sequence[tuple[float, float]]) -> str:
    """In one line: how many recipes there are, and how what was measured of some bears out its prediction."""
    found = f"{recipes} recipe{'' if recipes == 1 else 's'}"
    if not pairs:
        return f"{found}; none measured, as all cost next to nothing"
    return f"{found}; {len(pairs)} measured, at most {worst(pairs):.0%} off their prediction"
