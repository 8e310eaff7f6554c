"""The main screen's part on types: every one of them measured."""

from __future__ import annotations

from lqtui.tui.screens.main_actions import MainActions, after_edits


class MainTypes(MainActions):
    """What types do, over the workbench of the main screen."""

    @after_edits
    def action_measure_types(self) -> None:
        """Measure the model at every type of the types table, by the recipe's importance matrix if any."""
        plan = self.workbench.plan
        if self._has_model() and plan is not None:
            with self.refusals_told():
                job = self.workbench.measure_types(imatrix=plan.recipe.imatrix)
                self.announce(f"Started: {job.title}, all side by side. The results fill at once.")
