"""The main screen's part on importance matrices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import work

from lqtui.tui.screens.main_actions import MainActions, after_edits
from lqtui.tui.screens.path_prompt import PathPrompt

if TYPE_CHECKING:
    from lqtui.tui.screens.imatrix import ImatrixChoice


class MainImatrix(MainActions):
    """Importance matrices, over the workbench of the main screen."""

    @after_edits
    def action_imatrix(self) -> None:
        """Compute an importance matrix, or choose the one to quantize by."""
        if self._has_model():
            self._ask_for_imatrix("")

    def action_offer_imatrix(self) -> None:
        """Where the recipe needs a matrix and has none, say so and offer to make one."""
        plan = self.workbench.plan
        if plan is None or not plan.missing_imatrix:
            return
        first, count = plan.missing_imatrix[0], len(plan.missing_imatrix)
        others = f" and {count - 1} more" if count > 1 else ""
        if plan.recipe.imatrix is not None:
            self.notify(
                f"{plan.recipe.imatrix.name} does not know {first.name}{others}: {first.effective} cannot be "
                f"written there. Choose another type, or another matrix with X.",
                severity="warning",
                markup=False,
            )
        else:
            self._ask_for_imatrix(f"{first.effective} needs an importance matrix: {first.name}{others}.")

    def _ask_for_imatrix(self, reason: str) -> None:
        from lqtui.tui.screens.imatrix import ImatrixScreen

        plan = self.workbench.plan
        current = plan.recipe.imatrix if plan else None
        screen = ImatrixScreen(self.workbench.kept_imatrices(), current, reason)
        self.app.push_screen(screen, self._imatrix_chosen)

    def _imatrix_chosen(self, choice: ImatrixChoice | None) -> None:
        from lqtui.tui.screens.imatrix import AskForFile, ComputeImatrix, UseImatrix

        match choice:
            case UseImatrix(path):
                self._use_imatrix(path)
            case AskForFile():
                what, here = "importance matrix: a GGUF or .dat file", f"{Path.cwd()}/"
                prompt = PathPrompt(what, here, must_exist=True)
                self.app.push_screen(prompt, self._imatrix_file_chosen)
            case ComputeImatrix(corpus, chunks):
                with self.refusals_told():
                    job = self.workbench.compute_imatrix(corpus, chunks, use=True)
                    back = f"{self.key('recipe.undo')} takes that back"
                    self.announce(f"Started: {job.title}. The recipe then goes by it; {back}.")
            case None:
                pass

    def _imatrix_file_chosen(self, path: Path | None) -> None:
        if path is not None:
            self._use_imatrix(path)

    @work(exit_on_error=False, exclusive=True, group="imatrix")
    async def _use_imatrix(self, path: Path | None) -> None:
        with self.refusals_told():
            await self.workbench.use_imatrix(path)
            plan = self.workbench.plan
            weighed = sum(bool(planned.imatrix) for planned in plan.tensors) if plan else 0
            if path is None:
                self.announce("The recipe is quantized without an importance matrix.")
            else:
                self.announce(f"{path.name} weighs the errors of {weighed} tensors.")
            self.call_later(self.run_action, "offer_imatrix")
