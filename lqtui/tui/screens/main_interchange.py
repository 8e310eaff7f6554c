"""The main screen's part on recipes from elsewhere: import, comparison, and the report."""

from __future__ import annotations

from pathlib import Path

from textual import work

from lqtui.recipe.differences import side_of_plan
from lqtui.tui.screens.main_actions import MainActions, after_edits
from lqtui.tui.screens.path_prompt import PathPrompt
from lqtui.tui.screens.take_gguf import Take, TakeGguf
from lqtui.workbench import Slot
from lqtui.workbench.interchange import is_gguf


class MainInterchange(MainActions):
    """Files of other programs, over the workbench of the main screen."""

    def action_import_recipe(self) -> None:
        """Take a recipe from a file of any format, or a quantized model: its types, or the file itself."""

        def chosen(path: Path | None) -> None:
            if path is not None:
                with self.refusals_told():
                    if is_gguf(path):
                        self.app.push_screen(TakeGguf(path.name), lambda what: self._take(path, what))
                    else:
                        self._import(path)

        if self._has_model():
            prompt = PathPrompt("import a recipe or a GGUF", f"{Path.cwd()}/", must_exist=True)
            self.app.push_screen(prompt, chosen)

    def _take(self, path: Path, what: Take | None) -> None:
        if what is Take.TYPES:
            self._import(path)
        elif what is Take.FILE:
            with self.refusals_told():
                job = self.workbench.use_file(path)
                self.announce(f"Started: {job.title}. It is the recipe once it is looked through.")

    @work(exit_on_error=False, exclusive=True, group="import")
    async def _import(self, path: Path) -> None:
        with self.refusals_told():
            for notice in await self.workbench.use_imported(path):
                self.notify(notice, severity="warning", timeout=12, markup=False)

    @after_edits
    def action_compare(self) -> None:
        """Compare the recipe in the grid with another slot's, or with a file, cell by cell."""
        from lqtui.tui.screens.compare_with import CompareWith

        bench = self.workbench
        others = [slot for place, slot in enumerate(bench.slots) if place != bench.active_slot]

        def chosen(what: Slot | str | None) -> None:
            if isinstance(what, Slot):
                self._compare_slots(what)
            elif what is not None:
                self._ask_for_file()

        if others:
            self.app.push_screen(CompareWith(others), chosen)
        elif self._has_model():
            self._ask_for_file()

    def _ask_for_file(self) -> None:
        def chosen(path: Path | None) -> None:
            if path is not None:
                self._compare(path)

        prompt = PathPrompt("compare with a GGUF or a recipe", f"{Path.cwd()}/", must_exist=True)
        self.app.push_screen(prompt, chosen)

    def _compare_slots(self, other: Slot) -> None:
        from lqtui.tui.screens.compare import CompareScreen

        def take(wanted: bool | None) -> None:
            if wanted:
                with self.refusals_told():
                    self.workbench.use(other.plan.recipe, f"slot {other.letter}'s {other.name}")

        plan = self.workbench.plan
        if plan is not None:
            mine = self.workbench.slots[self.workbench.active_slot]
            sides = (side_of_plan(slot.plan)._replace(name=slot.title) for slot in (mine, other))
            self.app.push_screen(CompareScreen(plan.shape, *sides), take)

    @work(exit_on_error=False, exclusive=True, group="import")
    async def _compare(self, path: Path) -> None:
        from lqtui.tui.screens.compare import CompareScreen

        def take(wanted: bool | None) -> None:
            if wanted:
                self._import(path)

        with self.refusals_told():
            other = await self.workbench.side(path)
            plan = self.workbench.plan
            if plan is not None:
                self.app.push_screen(CompareScreen(plan.shape, side_of_plan(plan), other), take)

    def action_report(self) -> None:
        """Write what was measured as a report."""

        def write(path: Path | None) -> None:
            if path is not None:
                with self.refusals_told():
                    self.workbench.write_report(path)
                    self.notify(f"Wrote {path}.", markup=False)

        model = self.workbench.model
        if self._has_model() and model:
            default = str(Path.cwd() / f"{model.path.stem}-report.html")
            title = "report (.html, .md, .csv; its charts: .svg, .png)"
            self.app.push_screen(PathPrompt(title, default, must_exist=False), write)
