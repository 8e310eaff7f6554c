"""Budgets, and what is found for them: immutable snapshots that a screen or a command can keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import Plan, resolve, with_types
from lqtui.recipe.rules import effective_types, quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.solve.constraints import Constraints
from lqtui.solve.errors import BudgetError, SolveError
from lqtui.solve.items import Costs, Problem, make_problem
from lqtui.workbench.values import Result, WorkbenchError

if TYPE_CHECKING:  # NumPy and HiGHS come with it, which take a tenth of a second to load
    from lqtui.solve.knapsack import Solution

PARTS = 0.25
"""Where a measurement on other text is further from its prediction than this, the person is warned."""
_MIB, _GIB = 1 << 20, 1 << 30


@dataclass(frozen=True)
class Target:
    """The size that a recipe's file may have, to the byte, and what people call it.

    Where `has_room`, a target larger than the base model is met by the largest recipe, and else is a mistake.
    """

    file_bytes: int
    label: str
    has_room: bool = False


@dataclass(frozen=True)
class Question:
    """Among which recipes the best one is sought."""

    types: tuple[TensorType, ...]
    by: Granularity = Granularity.TENSOR
    constraints: Constraints = field(default_factory=Constraints)
    imatrix: Imatrix | None = None

    @property
    def wanted_types(self) -> tuple[TensorType, ...]:
        """The types of which costs are wanted: candidates, and what is pinned."""
        return tuple(dict.fromkeys((*self.types, *self.constraints.pins.values())))

    def problem(self, shape: ModelShape, costs: Costs | None = None) -> Problem:
        """The choices that there are on a model; without costs all are free, and sizes alone are told."""
        if costs is None:
            free = dict.fromkeys(TensorType, 0.0)
            costs = {tensor.name: free for tensor in quantizable_tensors(shape)}
        try:
            return make_problem(shape, self.types, costs, self.by, self.constraints, self.imatrix)
        except SolveError as error:
            raise WorkbenchError(str(error)) from None

    def met(self, target: Target, shape: ModelShape) -> Target:
        """The target, cut to the largest recipe; WorkbenchError where none is as small."""
        problem = self.problem(shape)
        smallest, largest = problem.smallest_bytes, problem.largest_bytes
        if target.file_bytes < smallest:
            refused = str(BudgetError(target.file_bytes, smallest, largest))
            if self._smallest_of_all(shape) <= target.file_bytes:
                refused += "; it would do without the types that tensors must keep, have at least, or share"
            raise WorkbenchError(refused)
        if target.file_bytes > max(largest, shape.file_bytes) and not target.has_room:
            raise WorkbenchError(str(BudgetError(target.file_bytes, smallest, largest)))
        return replace(target, file_bytes=min(target.file_bytes, largest))

    def _smallest_of_all(self, shape: ModelShape) -> float:
        """Bytes of the smallest recipe if constraints did not have to hold; infinite where there is none."""
        try:
            return replace(self, constraints=Constraints()).problem(shape).smallest_bytes
        except WorkbenchError:  # a tensor that can have none of the candidates, and was pinned to another
            return math.inf

    def never_had(self, shape: ModelShape) -> str:
        """The candidates that every tensor falls back from, as a list for people; empty where none is."""
        had = {
            kind
            for tensor in quantizable_tensors(shape)
            for kind in effective_types(tensor, self.types, self.imatrix)
        }
        return ", ".join(kind for kind in self.types if kind not in had)


@dataclass(frozen=True)
class FrontierPoint:
    """The best recipe of its size: what is predicted of it, and what was measured on the calibration text."""

    plan: Plan
    predicted_kld: float
    measured_kld: float | None
    measured_kld_se: float | None
    is_knee: bool


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
        if self.measured is None or self.measured.kld is None or not self.predicted_kld:
            return None
        return self.measured.kld / self.predicted_kld - 1

    @property
    def outcome(self) -> str:
        """In one line: what was measured, whether it parts from the prediction, and the size."""
        size, predicted = size_label(self.plan.file_bytes, 3), f"{self.predicted_kld:.3g}"
        if self.measured is None or self.measured.kld is None:
            return f"predicted KLD {predicted}, {size}"
        told = f"KLD {self.measured.kld:.3g} ± {self.measured.kld_se:.2g} on other text"
        if self.off_by is not None and abs(self.off_by) > PARTS:
            return f"{told}, {self.off_by:+.0%} from the predicted {predicted}: trust the measurement; {size}"
        return f"{told} (predicted {predicted}), {size}"


@dataclass(frozen=True)
class Why:
    """Why tensors were given their types, in a sentence for each by its name.

    `market` is what holds for all of them, as a sentence of its own where there are several choices.
    """

    of: Mapping[str, str] = field(default_factory=dict)
    market: str = ""


def size_label(size: int, digits: int = 6) -> str:
    """A size for people and for names, in so many digits: `400 MiB`, `5.9 GiB`."""
    return f"{size / _GIB:.{digits}g} GiB" if size >= _GIB else f"{size / _MIB:.{digits}g} MiB"


def solved_plan(shape: ModelShape, solution: Solution, label: str, imatrix: Imatrix | None = None) -> Plan:
    """A solution as a recipe with a name."""
    description = f"least predicted KLD within {solution.budget_bytes:,} bytes"
    name = f"fit-{label.replace(' ', '-')}"
    return resolve(shape, with_types(shape, name, solution.types, description, imatrix))


def worst(pairs: Sequence[tuple[float, float]]) -> float:
    """The largest distance of a measurement from its prediction, as a share of the prediction."""
    return max((abs(measured / predicted - 1) for predicted, measured in pairs if predicted), default=0.0)
