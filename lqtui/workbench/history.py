"""The recipe being edited, with named undo and redo."""

from __future__ import annotations

from typing import NamedTuple

from lqtui.recipe.imatrix import matrix_digest
from lqtui.recipe.quantized_file import file_digest
from lqtui.recipe.recipe import Plan


class _Edit(NamedTuple):
    label: str
    before: Plan
    after: Plan


class RecipeHistory:
    """The current plan and the edits that led to it; a new edit forgets what was undone."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._done: list[_Edit] = []
        self._undone: list[_Edit] = []
        self._saved = plan

    def edit(self, plan: Plan, label: str) -> None:
        """Make `plan` the current one by an edit that people know as `label`; no edit if nothing changes."""
        if _stands_for(plan) == _stands_for(self.plan) and plan.recipe.name == self.plan.recipe.name:
            return
        self._done.append(_Edit(label, self.plan, plan))
        self._undone.clear()
        self.plan = plan

    def undo(self) -> str | None:
        """Take the last edit back and return its label, None where there is none."""
        if not self._done:
            return None
        edit = self._done.pop()
        self._undone.append(edit)
        self.plan = edit.before
        return edit.label

    def redo(self) -> str | None:
        """Make the last undone edit again and return its label, None where there is none."""
        if not self._undone:
            return None
        edit = self._undone.pop()
        self._done.append(edit)
        self.plan = edit.after
        return edit.label

    @property
    def undo_label(self) -> str | None:
        """What undo would take back."""
        return self._done[-1].label if self._done else None

    @property
    def redo_label(self) -> str | None:
        """What redo would make again."""
        return self._undone[-1].label if self._undone else None

    @property
    def modified(self) -> bool:
        """Whether the recipe differs from the one last named, saved or chosen."""
        return _stands_for(self.plan) != _stands_for(self._saved)

    @property
    def retyped(self) -> bool:
        """Whether tensors were given other types since; an importance matrix alone gives none another."""
        now, then = self.plan.recipe, self._saved.recipe
        return (now.base, now.overrides) != (then.base, then.overrides)

    def mark_saved(self) -> None:
        """The current recipe is the one that its name stands for."""
        self._saved = self.plan


def _stands_for(plan: Plan) -> tuple[str, str, str]:
    """What a recipe comes to: its weights, and by what or from where the next edit makes its own."""
    return plan.digest, matrix_digest(plan.recipe.imatrix), file_digest(plan.recipe.file)
