"""Several recipes of one model side by side, and the history of each: flip between them, go back in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.recipe import Plan, Recipe, resolve
from lqtui.workbench.editing import RecipeEditing
from lqtui.workbench.histories import LETTERS, Histories
from lqtui.workbench.history import RecipeHistory, Step
from lqtui.workbench.values import Change, WorkbenchError


@dataclass(frozen=True)
class Slot:
    """One of the recipes: its letter, what it comes to, and the recipe that its name stands for."""

    letter: str
    plan: Plan
    named: Recipe
    modified: bool

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.plan.recipe.name

    @property
    def title(self) -> str:
        """The slot in a few words: `B first-4-q8`."""
        return f"{self.letter} {self.name}"


class Slots(RecipeEditing):
    """The part of the workbench that holds recipes side by side; an edit belongs to the active one."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The recipes by their letters; none without a model."""
        if self._histories is None:
            return ()
        return tuple(
            Slot(letter, history.plan, history.step.named.recipe, history.modified)
            for letter, history in self._histories.by_letter.items()
        )

    @property
    def active_slot(self) -> int:
        """Which of `slots` is under the person's hands; 0 without a model."""
        if self._histories is None:
            return 0
        return list(self._histories.by_letter).index(self._histories.letter)

    def new_slot(self) -> Slot:
        """Copy the current recipe into a slot of its own, which is active then; returns it."""
        histories, before = self._open_histories(), self._open_history()
        letter = histories.free_letter
        if letter is None:
            raise WorkbenchError(
                f"all {len(LETTERS)} slots are taken, {LETTERS[0]} to {LETTERS[-1]}; close one"
            )
        named = resolve(before.plan.shape, before.step.named.recipe)
        histories.add(letter, RecipeHistory(before.plan, f"a copy of {histories.letter}", named))
        self._tell(Change.RECIPE)
        return self.slots[self.active_slot]

    def switch_slot(self, index: int) -> None:
        """Make another slot the active one."""
        letters = tuple(self._open_histories().by_letter)
        if not 0 <= index < len(letters):
            raise WorkbenchError(f"there is no slot {index + 1}; there are {len(letters)}")
        self._open_histories().letter = letters[index]
        self._tell(Change.RECIPE)

    def close_slot(self, index: int | None = None) -> Slot:
        """Forget a slot, the active one where none is named, with its history; returns what it was."""
        slots = self.slots
        self._open_histories()
        if len(slots) == 1:
            raise WorkbenchError("this is the only slot, and a model has always one")
        closed = slots[self.active_slot if index is None else index]
        self._open_histories().close(closed.letter)
        self._tell(Change.RECIPE)
        return closed

    # The history of the active one

    @property
    def history(self) -> Sequence[Step]:
        """The recipes that the active slot can go to, the oldest first; none without a model."""
        return self._histories.active.steps if self._histories else ()

    @property
    def history_position(self) -> int:
        """Which of `history` is the current recipe."""
        return self._histories.active.position if self._histories else 0

    def plan_at(self, position: int) -> Plan:
        """What a recipe of `history` comes to."""
        return self._open_history().plan_at(position)

    def go_to(self, position: int) -> str:
        """Make a recipe of `history` the current one, as undo and redo would; returns its edit."""
        history = self._open_history()
        if not 0 <= position < len(history.steps):
            raise WorkbenchError(f"the history has no step {position}; it has {len(history.steps)}")
        self._go_by(position - history.position)
        return history.step.label

    # Inside

    def _hold(self, recipes: Sequence[Recipe], active: int, named: Sequence[Recipe]) -> None:
        """Hold these recipes, from A on, in the place of those that are held; their histories begin anew.

        `named` are the recipes that their names stand for: where one differs, the recipe counts as modified.
        Raises WorkbenchError, with nothing changed, where one of them does not fit the open model.
        """
        shape = self._open_model().shape
        if not 0 <= active < len(recipes) <= len(LETTERS) or len(named) != len(recipes):
            raise WorkbenchError(
                f"{len(recipes)} recipes cannot be held, of which number {active + 1} is active"
            )
        try:
            plans = [
                (resolve(shape, recipe), resolve(shape, of))
                for recipe, of in zip(recipes, named, strict=True)
            ]
        except RecipeError as error:
            raise WorkbenchError(str(error)) from None
        histories = [RecipeHistory(plan, "as it was left", of) for plan, of in plans]
        self._histories = Histories(histories, active)
