"""What the main screen's commands do: edits, dialogs and jobs, every refusal a toast.

Here and in the other parts of the main screen most dialogs are imported where they are opened: the app starts
a seventh sooner without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from textual import on, work
from textual.message import Message
from textual.screen import Screen

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.recipe import Recipe
from lqtui.recipe.types import TensorType
from lqtui.tui.keys.shown import key_of
from lqtui.tui.screens.confirm import ConfirmScreen
from lqtui.tui.screens.path_prompt import PathPrompt
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.results import ResultsTable
from lqtui.tui.widgets.status_line import StatusLine
from lqtui.workbench import AlreadyQuantizedError, Workbench, WorkbenchError
from lqtui.workbench.interchange import RecipeFormat, known_format
from lqtui.workbench.values import CONVERSION, DOWNLOAD

_HARMLESS = (DOWNLOAD, CONVERSION, "fingerprint")
"""The kinds of jobs that nothing is lost of when another model is opened."""

_PATIENCE = 0.3
"""Seconds that reading a model's header may take before a sign of it is shown; most take less."""


class AfterEdits(Message):
    """Run a command behind the edits that the keys before it asked for."""

    def __init__(self, command: Callable[[], None]) -> None:
        super().__init__()
        self.command = command


_Main = TypeVar("_Main", bound="MainActions")


def after_edits(action: Callable[[_Main], None]) -> Callable[[_Main], None]:
    """Let a command see what the keys before it do, even those of the same instant.

    What a key does to the grid reaches the screen as a message, which is still on its way when the next key
    is heard; so the command is sent the same way, behind it.
    """

    @wraps(action)
    def send(screen: _Main) -> None:
        screen.query_one(LayerGrid).post_message(AfterEdits(partial(action, screen)))

    return send


class MainActions(Screen[None]):
    """The commands of the main screen, over its workbench."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__()
        self.workbench = workbench

    @contextmanager
    def refusals_told(self) -> Iterator[None]:
        """Turn what the workbench refuses into a toast; the app goes on."""
        try:
            yield
        except (WorkbenchError, RecipeError) as error:
            self._refuse(str(error))
        except OSError as error:
            self._refuse(f"{error.filename or 'A file'}: {error.strerror or error}")
        except Exception as error:  # a bug must not cost the person the recipe being edited
            self.log.error(error)
            self._refuse(
                f"This failed unexpectedly ({type(error).__name__}: {error}). The recipe is as before."
            )

    def _refuse(self, text: str) -> None:
        self.notify(text, severity="error", timeout=12, markup=False)

    def key(self, command_id: str) -> str:
        """The key of a command, as the person at this app knows it."""
        return key_of(self, command_id)

    def announce(self, *wordings: str) -> None:
        """Say in the status line what just happened, in wordings from long to short."""
        # After the change that the workbench told of is shown, else its explanation would hide this.
        self.call_later(self.query_one(StatusLine).announce, *wordings)

    def followed(self, hint: str) -> None:
        """A person did what a hint of the tour is about; the tour, where there is one, goes on."""

    def _has_model(self) -> bool:
        if self.workbench.model is None:
            self.notify(f"No model is open: press {self.key('model.open')} to open one.", severity="warning")
        return self.workbench.model is not None

    # -- edits --------------------------------------------------------------------------------------

    @on(AfterEdits)
    def _run_after_edits(self, event: AfterEdits) -> None:
        event.command()

    @on(LayerGrid.Assign)
    def _assign(self, event: LayerGrid.Assign) -> None:
        with self.refusals_told():
            self.workbench.assign(event.tensors, event.tensor_type, event.label)

    @on(LayerGrid.PickType)
    def _pick_type(self, event: LayerGrid.PickType) -> None:
        from lqtui.tui.screens.type_picker import TypePicker

        plan = self.workbench.plan
        if plan is None:
            return

        def assign(tensor_type: TensorType | None) -> None:
            if tensor_type is not None:
                with self.refusals_told():
                    label = f"{event.title} → {tensor_type}"
                    self.workbench.assign(event.tensors, tensor_type, label)
                    self.call_later(self.run_action, "offer_imatrix")

        planned = [plan.by_name[name] for name in event.tensors]
        self.app.push_screen(TypePicker(planned, event.title, plan.recipe.imatrix, plan.recipe.file), assign)

    @after_edits
    def action_undo(self) -> None:
        """Take the last edit back."""
        with self.refusals_told():
            label = self.workbench.undo()
            again = f"{self.key('recipe.redo')} makes it again"
            self.announce(f"Undone: {label}. {again}." if label else "There is nothing to undo.")

    @after_edits
    def action_redo(self) -> None:
        """Make the edit again."""
        with self.refusals_told():
            label = self.workbench.redo()
            self.announce(f"Done again: {label}." if label else "There is nothing to redo.")

    def _use(self, recipe: Recipe | None) -> None:
        if recipe is not None:
            with self.refusals_told():
                self.workbench.use(recipe, recipe.name)
                self.call_later(self.run_action, "offer_imatrix")

    def action_presets(self) -> None:
        """Choose a preset."""
        from lqtui.tui.screens.presets import PresetScreen

        plan = self.workbench.plan
        if self._has_model() and plan:
            self.app.push_screen(PresetScreen(plan.shape, plan.recipe.imatrix), self._use)

    @on(ResultsTable.Chosen)
    def _use_result(self, event: ResultsTable.Chosen) -> None:
        result = event.result
        self._use(msgspec.structs.replace(result.recipe, name=result.name))

    # -- files --------------------------------------------------------------------------------------

    def action_open_model(self) -> None:
        """Choose a model to open."""
        from lqtui.tui.screens.open_model import OpenModelScreen

        model = self.workbench.model
        start = model.path.parent if model else Path.cwd()
        self.app.push_screen(OpenModelScreen(start), self._open_chosen)

    def _open_chosen(self, path: Path | Literal["hub"] | None) -> None:
        if path == "hub":
            self.call_later(self.run_action, "hub")
        elif isinstance(path, Path) and self._is_busy:
            self._ask_to_stop_jobs(path)
        elif isinstance(path, Path):
            self.open_model(path)

    def _ask_to_stop_jobs(self, path: Path) -> None:
        """Ask before a model is opened that another one's jobs are stopped for."""

        def open_it(sure: bool | None) -> None:
            if sure:
                self.open_model(path)

        question = f"Opening {path.name} stops the jobs; they can go on once this model is open again."
        self.app.push_screen(ConfirmScreen(question, "Open it", "Stay"), open_it)

    @property
    def _is_busy(self) -> bool:
        """Whether a job runs, or waits, that opening another model would stop."""
        return any(job.active and job.kind not in _HARMLESS for job in self.workbench.jobs)

    @work(exit_on_error=False, exclusive=True, group="open")
    async def open_model(self, path: Path, *, requantize: bool = False) -> None:
        """Open a model; a refusal is a toast and the model that was open stays."""
        grid = self.query_one(LayerGrid)
        patience = self.set_timer(_PATIENCE, partial(setattr, grid, "loading", True))
        try:
            with self.refusals_told():
                try:
                    await self.workbench.open(path, requantize=requantize)
                except AlreadyQuantizedError as refusal:
                    self._ask_to_go_on(path, str(refusal))
        finally:
            patience.stop()
            grid.loading = False
            self.call_later(self.focus_opened)

    def focus_opened(self) -> None:
        """Give the keys to the layers of the model that was opened."""
        self.query_one(LayerGrid).focus()

    def open_unless_busy(self, path: Path, how: str) -> None:
        """Open a model that a job has brought, or say how, where that would cost what was begun meanwhile."""
        if self._is_busy or self.workbench.modified:
            what = "a job runs" if self._is_busy else "the recipe is not saved"
            self.notify(f"{path.name} is here, but {what}: {how}.", markup=False, timeout=12)
        else:
            self.open_model(path)

    def _ask_to_go_on(self, path: Path, refusal: str) -> None:
        """Offer to open an already quantized model all the same."""

        def go_on(sure: bool | None) -> None:
            if sure:
                self.open_model(path, requantize=True)

        self.app.push_screen(ConfirmScreen(f"{refusal}.", "Go on from it", "Leave it"), go_on)

    @after_edits
    def action_save_recipe(self) -> None:
        """Name the recipe and save it."""
        from lqtui.tui.screens.save import SaveRecipeScreen

        plan = self.workbench.plan

        def save(path: Path | None) -> None:
            if path is not None:
                with self.refusals_told():
                    form = known_format(path)
                    if plan is not None and form in (RecipeFormat.JSON, RecipeFormat.TENSOR_TYPES):
                        self.workbench.write_recipe(path, plan, form)
                    else:
                        self.workbench.save_recipe(path, path.stem)
                    self.notify(f"Saved {path}.", markup=False)

        if self._has_model() and plan:
            self.app.push_screen(SaveRecipeScreen(plan.recipe.name, Path.cwd()), save)

    @after_edits
    def action_export(self) -> None:
        """Preview the script."""

        def save(path: Path | None) -> None:
            if path is not None:
                with self.refusals_told():
                    self.workbench.save_script(path)
                    self.notify(f"Saved {path}.", markup=False)

        plan = self.workbench.plan
        if self._has_model() and plan:
            self.followed("export")
            from lqtui.tui.screens.export import ExportScreen

            with self.refusals_told():
                script = self.workbench.script()
                default = Path.cwd() / f"{self._file_stem()}.sh"
                self.app.push_screen(ExportScreen(script, default), save)

    @after_edits
    def action_write_model(self) -> None:
        """Write the quantized model."""

        def write(path: Path | None) -> None:
            if path is not None:
                with self.refusals_told():
                    self.workbench.quantize(path)

        model = self.workbench.model
        if self._has_model() and model:
            default = str(model.path.parent / f"{self._file_stem()}.gguf")
            self.app.push_screen(PathPrompt("write the quantized model", default, must_exist=False), write)

    def _file_stem(self) -> str:
        model, plan = self.workbench.model, self.workbench.plan
        assert model is not None and plan is not None
        return f"{model.path.stem}-{plan.recipe.name}".replace("/", "-").replace(" ", "-")

    # -- jobs ---------------------------------------------------------------------------------------

    @after_edits
    def action_measure(self) -> None:
        """Measure the recipe."""
        plan = self.workbench.plan
        if plan is not None and plan.missing_imatrix:
            self.call_later(self.run_action, "offer_imatrix")
        elif self._has_model():
            with self.refusals_told():
                job = self.workbench.measure()
                self.announce(f"Started: {job.title}. The keys stay yours while it runs.")

    @after_edits
    def action_measure_again(self) -> None:
        """Measure the recipe anew, even what is known of it."""
        if self._has_model():
            with self.refusals_told():
                job = self.workbench.measure(fresh=True)
                self.announce(f"Started anew: {job.title}, even what was known of it.")

    @after_edits
    def action_sweep(self) -> None:
        """Measure the presets."""
        if self._has_model():
            with self.refusals_told():
                job = self.workbench.measure_presets()
                self.announce(f"Started: {job.title}, all side by side. The chart fills at once.")

    def action_choose_corpus(self) -> None:
        """Choose the text to measure on."""

        def choose(path: Path | None) -> None:
            if path is not None:
                with self.refusals_told():
                    self.workbench.configure(replace(self.workbench.settings, corpus=path))

        default = str(self.workbench.settings.corpus or f"{Path.cwd()}/")
        prompt = PathPrompt("corpus: a text file to measure on", default, must_exist=True)
        self.app.push_screen(prompt, choose)

    # -- memory -------------------------------------------------------------------------------------

    def action_memory(self) -> None:
        """Show what memory is needed for."""
        from lqtui.tui.screens.memory import MemoryScreen

        if self._has_model():
            self.app.push_screen(MemoryScreen(self.workbench))

    def action_fit_context(self, step: int) -> None:
        """Tell memory for a longer or a shorter context."""
        from lqtui.tui.screens.memory import context_said, next_context

        fit = self.workbench.fit
        if self._has_model() and self.workbench.model and fit:
            longest = self.workbench.model.shape.context_length
            n_ctx = next_context(fit.n_ctx, step, longest)
            if n_ctx == fit.n_ctx:
                self.announce(f"Memory is told for {context_said(n_ctx, longest)}.")
            else:
                self.workbench.fit_to(n_ctx, fit.type_k, fit.type_v)

    # -- help and leaving ---------------------------------------------------------------------------

    def action_help(self) -> None:
        """Show every key."""
        from lqtui.tui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen())

    async def action_quit(self) -> None:
        """Leave the app."""
        await self.app.action_quit()
