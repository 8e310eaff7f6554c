"""Editing the recipe of an open model: undoable edits, names, recipe files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_type
from lqtui.recipe.recipe_file import format_recipe
from lqtui.recipe.types import TensorType
from lqtui.store.paths import expanded
from lqtui.workbench.histories import Histories
from lqtui.workbench.history import RecipeHistory, Step
from lqtui.workbench.matrix_files import seen_from
from lqtui.workbench.model_file import protect_model
from lqtui.workbench.text_files import write_text
from lqtui.workbench.values import Change, OpenModel, WorkbenchError

Listener = Callable[[Change], None]


class RecipeEditing:
    """The part of the workbench that asks nothing of the engine; its methods answer at once.

    They raise WorkbenchError with a sentence for the person; nothing has changed then.
    """

    def __init__(self) -> None:
        self.model: OpenModel | None = None
        self._histories: Histories | None = None
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` told of every change, in the event loop's thread; returns how to end that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def _history(self) -> RecipeHistory | None:
        return self._histories.active if self._histories else None

    @property
    def plan(self) -> Plan | None:
        """The current recipe on the open model."""
        return self._history.plan if self._history else None

    @property
    def imatrix(self) -> Imatrix | None:
        """What the current recipe's errors are weighed by, where its types use it."""
        return self._history.plan.recipe.imatrix if self._history else None

    @property
    def modified(self) -> bool:
        """Whether the recipe was edited since it was named, saved or chosen."""
        return self._history.modified if self._history else False

    @property
    def undo_label(self) -> str | None:
        """What `undo` would take back."""
        return self._history.undo_label if self._history else None

    @property
    def redo_label(self) -> str | None:
        """What `redo` would make again."""
        return self._history.redo_label if self._history else None

    def assign(self, tensors: Iterable[str], tensor_type: TensorType, label: str) -> None:
        """Give some tensors a type, as one undoable edit; those that are never quantized are left alone."""
        plan = self._current_plan()
        tensors = [name for name in tensors if name in plan.by_name and plan.by_name[name].quantizable]
        if all(plan.by_name[name].requested is tensor_type for name in tensors):
            return
        name = self._unmeasured_name(plan.recipe.name if self._open_history().retyped else "custom")
        self._edit(with_type(plan, tensors, tensor_type, name), label)

    def use(self, recipe: Recipe, label: str, slot: RecipeHistory | None = None) -> None:
        """Put a whole recipe in the place of the current one, or of a slot's, as one undoable edit."""
        self._edit(recipe, label, slot).mark_saved()

    def rename(self, name: str) -> None:
        """Give the current recipe a name."""
        recipe = msgspec.structs.replace(self._current_plan().recipe, name=name)
        self._edit(recipe, f"name {name!r}").mark_saved()

    def undo(self) -> str | None:
        """Take the last edit back; returns its label, None where there is none."""
        label = self.undo_label
        if label is not None:
            self._go_by(-1)
        return label

    def redo(self) -> str | None:
        """Make the last undone edit again; returns its label, None where there is none."""
        label = self.redo_label
        if label is not None:
            self._go_by(1)
        return label

    def save_recipe(self, path: Path, name: str | None = None) -> None:
        """Write the current recipe, under a new name if one is given, in place of what was in the file."""
        plan = self._current_plan()
        name = name or plan.recipe.name
        recipe = seen_from(msgspec.structs.replace(plan.recipe, name=name), expanded(path).parent)
        self._write(path, format_recipe(recipe, plan.shape))
        self.rename(name)
        self._tell(Change.RECIPE)

    # Inside

    def _leaving_model(self) -> None:
        """Another model is about to take the place of the one that is open, if any is."""

    def _found_model(self) -> None:
        """A model was opened, and nobody was told yet."""

    def _tell(self, change: Change) -> None:
        for listener in tuple(self._listeners):
            listener(change)

    def _open_model(self) -> OpenModel:
        if self.model is None:
            raise WorkbenchError("no model is open; open a GGUF file first")
        return self.model

    def _open_histories(self) -> Histories:
        self._open_model()
        assert self._histories is not None
        return self._histories

    def _open_history(self) -> RecipeHistory:
        return self._open_histories().active

    def _current_plan(self) -> Plan:
        return self._open_history().plan

    def _edit(self, recipe: Recipe, label: str, slot: RecipeHistory | None = None) -> RecipeHistory:
        """Edit the active slot, or the one that the edit was asked for in, and return its history."""
        history = self._asked_in(slot)
        try:
            history.edit(resolve(self._open_model().shape, recipe), label)
        except RecipeError as error:
            raise WorkbenchError(str(error)) from None
        self._tell(Change.RECIPE)
        return history

    def _asked_in(self, slot: RecipeHistory | None) -> RecipeHistory:
        """The slot that something was asked for in, which may be another than the active one by now.

        The active one stands in for one that was closed, and where none is given.
        """
        histories = self._open_histories()
        return slot if slot is not None and histories.letter_of(slot) else histories.active

    def _go_by(self, steps: int) -> None:
        """Make an earlier or a later recipe of the active slot's history the current one."""
        history = self._open_history()
        start = history.position
        history.go_to(start + steps)
        passed = history.steps[min(start, history.position) : max(start, history.position) + 1]
        self._moved_in_history(passed if steps > 0 else passed[::-1])

    def _moved_in_history(self, passed: Sequence[Step]) -> None:
        """The current recipe is the last of these steps now, and was the first."""
        self._tell(Change.RECIPE)

    def _unmeasured_name(self, name: str) -> str:
        """The name, numbered if a result or another slot's recipe goes by it."""
        others = self._open_histories().by_letter.values()
        taken = self._measured_names() | {h.plan.recipe.name for h in others if h is not self._history}
        stem = name.rstrip("0123456789").removesuffix("-")
        numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
        return name if name not in taken else next(other for other in numbered if other not in taken)

    def _measured_names(self) -> set[str]:
        """The names by which results go; the workbench knows them."""
        return set()

    def _write(self, path: Path, content: str | bytes, *, executable: bool = False) -> None:
        protect_model(self._open_model().path, expanded(path))
        write_text(path, content, executable=executable)
