"""What is known of one model on the text that recipes are fitted on: estimates, singles and mixes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.granularity import Granularity
from lqtui.recipe.imatrix import Imatrix, matrix_digest
from lqtui.recipe.recipe import Plan, resolve, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.recipe.units import Single, singles, units
from lqtui.solve.costs import CostTable, cost_table, shared_out
from lqtui.solve.interaction import Interaction, Mixed, fit_interaction
from lqtui.store.estimates import Estimates
from lqtui.store.measured_alone import Asked
from lqtui.workbench.budgets import FrontierPoint, Solved
from lqtui.workbench.corpora import Corpus
from lqtui.workbench.lowering import Lowered
from lqtui.workbench.result_book import ResultBook
from lqtui.workbench.scores import ImportanceView, Score, output_of

if TYPE_CHECKING:
    from lqtui.solve.knapsack import Solution


class Drawn(NamedTuple):
    """A point of the frontier: the solution, its recipe, and whether the frontier bends there."""

    solution: Solution
    plan: Plan
    is_knee: bool


@dataclass
class Calibration:
    """All that is known of a model on its calibration text, and what was solved from it.

    Singles and mixes have books of their own, because mixes are measured on more chunks: there are few of
    them, and they tell how high costs are on the text as a whole. Results are told in the book `told`, on the
    text `told_on`, of which nothing is fitted on. All of it is of recipes that are quantized by `imatrix`.
    """

    corpus: Corpus
    singles: ResultBook
    mixes: ResultBook
    told: ResultBook
    told_on: Path
    imatrix: Imatrix | None = None
    solved: Solved | None = None
    drawn: tuple[Drawn, ...] = ()
    estimates: Estimates | None = None
    lowered: dict[TensorType, Lowered] = field(default_factory=dict)
    _singles: dict[tuple[str, TensorType], Single] = field(default_factory=dict)
    _mixes: dict[str, Plan] = field(default_factory=dict)
    _view: ImportanceView | None = None
    _costs: CostTable | None = None
    _interaction: Interaction | None = None
    _frontier: tuple[FrontierPoint, ...] | None = None

    def add_singles(self, found: Iterable[Single]) -> None:
        """Count these among the singles, as far as they are measured."""
        for single in found:
            self._singles[single.unit.label, single.asked] = single
        self.changed()

    def recall(self, asked: Asked, stopped: Callable[[], bool]) -> None:
        """Count what was asked in earlier sessions, and take from the store what was measured of it.

        Recipes that this model cannot have are left out. It ends early once it is `stopped`.
        """
        shape = self.told.model.shape
        of = {unit.label: unit for by in Granularity for unit in units(shape, by)}
        for kind in sorted({kind for _, kind in asked.singles}):
            wanted = [of[label] for label, each in sorted(asked.singles) if each is kind and label in of]
            for unit in wanted:
                with contextlib.suppress(RecipeError):
                    alone = singles(shape, [unit], kind, self.imatrix)
                    self._singles.update(((unit.label, kind), one) for one in alone)
                if stopped():
                    return
        for mix in asked.mixes:
            with contextlib.suppress(RecipeError):
                plan = changed_plan(shape, mix, self.imatrix)
                self._mixes[plan.digest] = plan
        for book, plans in self._counted():
            for plan in (book.base, *plans):
                if stopped():
                    return
                book.recall(plan)
        self.changed()

    def _counted(self) -> tuple[tuple[ResultBook, list[Plan]], ...]:
        alone = [single.plan for single in self._singles.values()]
        return (self.singles, alone), (self.mixes, list(self._mixes.values()))

    @property
    def asked(self) -> Asked:
        """What was measured so far, as later sessions are told of it."""
        alone = (key for key, single in self._singles.items() if single.plan.digest in self.singles.rows)
        mixes = (effective(plan) for plan in self._mixes.values() if plan.digest in self.mixes.rows)
        return Asked(frozenset(alone), self.singles.settings.chunks, tuple(mixes))

    def add_mixes(self, plans: Iterable[Plan]) -> None:
        """Count these among the mixes that the interaction is fitted on."""
        self._mixes.update((plan.digest, plan) for plan in plans)
        self.changed()

    def measure_singles_in(self, book: ResultBook) -> None:
        """Take another book for singles, and what it knows of those that are counted."""
        self.singles = book
        book.recall(book.base)
        for single in self._singles.values():
            book.recall(single.plan)
        self.changed()

    def draw(self, points: Iterable[Drawn]) -> None:
        """Keep a frontier in place of the one that was known."""
        self.drawn = tuple(points)
        self._frontier = None

    def changed(self) -> None:
        """More was measured: what follows from it is worked out anew when it is asked for."""
        self._view = self._costs = self._interaction = self._frontier = None

    @property
    def costs(self) -> CostTable:
        """What each tensor costs alone at each type."""
        if self._costs is None:
            self._costs = self._make_costs()
        return self._costs

    @property
    def interaction(self) -> Interaction:
        """What the mixes that were measured say of how costs add up."""
        if self._interaction is None:
            self._interaction = fit_interaction(list(self._measured_mixes().values()))
        return self._interaction

    def predict(self, plan: Plan) -> float | None:
        """The KLD in nats that is to be expected of a plan; None where too little is known, or it breaks.

        Nothing is known of tensors that are copied from a file: who wrote them may have done so otherwise.
        """
        return self._predicted(plan, self.interaction)

    def predicted_by_tensor(self, plan: Plan) -> Mapping[str, float]:
        """What of the predicted KLD is owed to each tensor: its cost alone, by how costs add up in all."""
        kld, types = self.predict(plan), effective(plan)
        if kld is None:
            return {}
        costs = self.costs.costs
        alone = {name: costs.get(name, {}).get(type_, 0.0) for name, type_ in types.items()}
        total = sum(alone.values())
        return {name: kld * cost / total for name, cost in alone.items()} if total else {}

    def foretell(self, plan: Plan) -> float | None:
        """What would be predicted of a plan if it were not measured as a mix itself."""
        others = [mix for digest, mix in self._measured_mixes().items() if digest != plan.digest]
        return self._predicted(plan, fit_interaction(others))

    def _predicted(self, plan: Plan, interaction: Interaction) -> float | None:
        if plan.copied or matrix_digest(plan.recipe.imatrix) != matrix_digest(self.imatrix):
            return None
        total = self.costs.total(effective(plan))
        return None if total is None or math.isinf(total) else interaction.predict(total)

    @property
    def frontier(self) -> tuple[FrontierPoint, ...]:
        """The frontier with what is predicted and known of each recipe now."""
        if self._frontier is None:
            predicted = [(point, self.predict(point.plan)) for point in self.drawn]
            self._frontier = tuple(self._point(point, kld) for point, kld in predicted if kld is not None)
        return self._frontier

    def _point(self, point: Drawn, predicted: float) -> FrontierPoint:
        row = self.mixes.rows.get(point.plan.digest)
        measured = (row.kld, row.kld_se) if row else (None, None)
        return FrontierPoint(point.plan, predicted, *measured, point.is_knee)

    @property
    def view(self) -> ImportanceView:
        """What is known now, as screens and commands show it."""
        if self._view is None:
            tensors = {one.name: one for one in self.estimates.tensors} if self.estimates else {}
            blocks = {one.block: one for one in self.estimates.blocks} if self.estimates else {}
            scores = (self._score(single) for single in self._singles.values())
            self._view = ImportanceView(
                tuple(score for score in scores if score is not None), tensors, blocks
            )
        return self._view

    def _score(self, single: Single) -> Score | None:
        row = self.singles.rows.get(single.plan.digest)
        if row is None or row.broken or row.kld is None or row.kld_se is None:
            return None
        if row.delta_nll is None or row.delta_nll_se is None:
            return None
        return Score(
            single.unit,
            single.asked,
            single.effective,
            row.kld,
            row.kld_se,
            row.delta_nll,
            row.delta_nll_se,
            row.chunks,
        )

    def _breaks(self, single: Single) -> bool:
        row = self.singles.rows.get(single.plan.digest)
        return row is not None and row.broken

    def _make_costs(self) -> CostTable:
        view = self.view
        estimated = {
            name: output for name, one in view.tensors.items() if (output := output_of(one)) is not None
        }
        measured: dict[str, dict[TensorType, float]] = {}
        for single in sorted(self._singles.values(), key=lambda single: -len(single.unit.names)):
            score = self._score(single)
            types = {name: single.plan.by_name[name].effective for name in single.unit.names}
            if self._breaks(single):
                for name, kind in types.items():
                    measured.setdefault(name, {})[kind] = math.inf
            elif score is not None:  # a tensor's own measurement comes last: it counts before its block's
                for name, kld in shared_out(score.kld, types, estimated).items():
                    measured.setdefault(name, {})[types[name]] = kld
        return cost_table(measured, estimated)

    def _measured_mixes(self) -> dict[str, Mixed]:
        """The mixes that can be fitted on, by the plan's digest."""
        mixes = {}
        for digest, plan in self._mixes.items():
            row, singles = self.mixes.rows.get(digest), self.costs.total(effective(plan))
            if row is not None and row.kld is not None and singles:
                mixes[digest] = Mixed(singles, row.kld)
        return mixes


def changed_plan(shape: ModelShape, types: Mapping[str, TensorType], imatrix: Imatrix | None = None) -> Plan:
    """The base model with some tensors at other types, by name: what `effective` told of."""
    own = {tensor.name: tensor.type for tensor in quantizable_tensors(shape)}
    return resolve(shape, with_types(shape, "mix", own | dict(types), imatrix=imatrix))


def effective(plan: Plan) -> dict[str, TensorType]:
    """What a plan changes of the base model: the types of tensors, by name."""
    return {p.name: p.effective for p in plan.tensors if p.effective is not p.tensor.type}
