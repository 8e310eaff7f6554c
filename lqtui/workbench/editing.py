"""Editing the recipe of an open model: undoable edits, names, recipe files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_type
from lqtui.recipe.recipe_file import format_recipe
from lqtui.recipe.types import TensorType
from lqtui.store.paths import expanded
from lqtui.workbench.history import RecipeHistory
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
        self._history: RecipeHistory | None = None
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` told of every change, in the event loop's thread; returns how to end that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

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

    def use(self, recipe: Recipe, label: str) -> None:
        """Put a whole recipe in the place of the current one, as one undoable edit."""
        self._edit(recipe, label)
        self._open_history().mark_saved()

    def rename(self, name: str) -> None:
        """Give the current recipe a name."""
        recipe = msgspec.structs.replace(self._current_plan().recipe, name=name)
        self._edit(recipe, f"name {name!r}")
        self._open_history().mark_saved()

    def undo(self) -> str | None:
        """Take the last edit back; returns its label, None where there is none."""
        return self._changed_by(self._history.undo() if self._history else None)

    def redo(self) -> str | None:
        """Make the last undone edit again; returns its label, None where there is none."""
        return self._changed_by(self._history.redo() if self._history else None)

    def save_recipe(self, path: Path, name: str | None = None) -> None:
        """Write the current recipe, under a new name if one is given, in place of what was in the file."""
        plan = self._current_plan()
        name = name or plan.recipe.name
        recipe = seen_from(msgspec.structs.replace(plan.recipe, name=name), expanded(path).parent)
        self._write(path, format_recipe(recipe, plan.shape))
        self.rename(name)
        self._tell(Change.RECIPE)

    # Inside

    def _tell(self, change: Change) -> None:
        for listener in tuple(self._listeners):
            listener(change)

    def _open_model(self) -> OpenModel:
        if self.model is None:
            raise WorkbenchError("no model is open; open a GGUF file first")
        return self.model

    def _open_history(self) -> RecipeHistory:
        self._open_model()
        assert self._history is not None
        return self._history

    def _current_plan(self) -> Plan:
        return self._open_history().plan

    def _edit(self, recipe: Recipe, label: str) -> None:
        history = self._open_history()
        try:
            history.edit(resolve(self._open_model().shape, recipe), label)
        except RecipeError as error:
            raise WorkbenchError(str(error)) from None
        self._tell(Change.RECIPE)

    def _changed_by(self, label: str | None) -> str | None:
        if label is not None:
            self._tell(Change.RECIPE)
        return label

    def _unmeasured_name(self, name: str) -> str:
        """The name, numbered if a result goes by it: two recipes in one table need two names."""
        taken = self._measured_names()
        stem = name.rstrip("0123456789").removesuffix("-")
        numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
        return name if name not in taken else next(other for other in numbered if other not in taken)

    def _measured_names(self) -> set[str]:
        """The names by which results go; the workbench knows them."""
        return set()

    def _write(self, path: Path, text: str, *, executable: bool = False) -> None:
        protect_model(self._open_model().path, expanded(path))
        write_text(path, text, executable=executable)
