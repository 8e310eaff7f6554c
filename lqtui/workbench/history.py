"""The recipe being edited, with named undo and redo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

from lqtui.recipe.imatrix import matrix_digest
from lqtui.recipe.quantized_file import file_digest
from lqtui.recipe.recipe import Plan, Recipe, resolve

MOST_EDITS = 1000
"""So many can be undone; a deep model's recipe takes some ten thousand bytes."""


class Known(NamedTuple):
    """A recipe, and what it comes to: its weights, and by what or from where the next edit makes its own."""

    recipe: Recipe
    weights: tuple[str, str, str]

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """A plan's recipe."""
        recipe = plan.recipe
        return cls(recipe, (plan.digest, matrix_digest(recipe.imatrix), file_digest(recipe.file)))


class Step(NamedTuple):
    """A recipe that was the current one: the edit that made it, and the recipe that its name stands for."""

    label: str
    now: Known
    named: Known

    @property
    def modified(self) -> bool:
        """Whether the recipe differs from the one last named, saved or chosen."""
        return self.now.weights != self.named.weights


class RecipeHistory:
    """The current plan and the edits that led to it; a new edit forgets what was undone.

    What a recipe's name stands for is undone and redone with the recipe.
    """

    def __init__(self, plan: Plan, label: str = "the model as it is", named: Plan | None = None) -> None:
        self.plan = plan
        self._steps = [Step(label, Known.of(plan), Known.of(named or plan))]
        self._position = 0

    @property
    def steps(self) -> Sequence[Step]:
        """All recipes that can be gone to, the oldest first; those behind `position` were undone."""
        return tuple(self._steps)

    @property
    def position(self) -> int:
        """Which of the steps is the current one."""
        return self._position

    @property
    def step(self) -> Step:
        """The current one."""
        return self._steps[self._position]

    def edit(self, plan: Plan, label: str) -> None:
        """Make `plan` the current one by an edit that people know as `label`; no edit if nothing changes."""
        known = Known.of(plan)
        if known.weights == self.step.now.weights and plan.recipe.name == self.plan.recipe.name:
            return
        self._steps[self._position + 1 :] = [Step(label, known, self.step.named)]
        del self._steps[: max(0, len(self._steps) - 1 - MOST_EDITS)]
        self._position = len(self._steps) - 1
        self.plan = plan

    def go_to(self, position: int) -> None:
        """Make the recipe of any step the current one, as so many times undo or redo would."""
        plan = self.plan_at(position)
        self._position, self.plan = position, plan

    def plan_at(self, position: int) -> Plan:
        """What the recipe of a step comes to on the model."""
        if position == self._position:
            return self.plan
        return resolve(self.plan.shape, self._steps[position].now.recipe)

    @property
    def undo_label(self) -> str | None:
        """What undo would take back."""
        return self.step.label if self._position else None

    @property
    def redo_label(self) -> str | None:
        """What redo would make again."""
        after = self._position + 1
        return self._steps[after].label if after < len(self._steps) else None

    @property
    def modified(self) -> bool:
        """Whether the recipe differs from the one last named, saved or chosen."""
        return self.step.modified

    @property
    def retyped(self) -> bool:
        """Whether tensors were given other types since; an importance matrix alone gives none another."""
        now, then = self.plan.recipe, self.step.named.recipe
        return (now.base, now.overrides) != (then.base, then.overrides)

    def mark_saved(self) -> None:
        """The current recipe is the one that its name stands for."""
        self._steps[self._position] = self.step._replace(named=self.step.now)
