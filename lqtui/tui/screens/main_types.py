"""The main screen's part on types: every one of them measured, and what they make of a tensor."""

from __future__ import annotations

from lqtui.recipe.rules import quantizable_names
from lqtui.recipe.types import TensorType
from lqtui.tui.screens.main_actions import MainActions, after_edits
from lqtui.tui.widgets.grid_selection import Scope
from lqtui.tui.widgets.layer_grid import LayerGrid


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

    @after_edits
    def action_inspect(self) -> None:
        """Look into the tensor under the cursor; of a whole block, into its first."""
        from lqtui.tui.screens.inspector import InspectorScreen

        plan, selection = self.workbench.plan, self.query_one(LayerGrid).selection
        if not self._has_model() or plan is None:
            return
        single = selection.cursor_tensor if selection.scope is Scope.TENSOR else None
        names = [single] if single else selection.cursor_row.names
        name = next((each for each in names if each in quantizable_names(plan.shape)), None)
        if name is None:
            self.announce("There are no weights here to look into.")
            return

        def give(answer: tuple[str, TensorType] | None) -> None:
            if answer is not None:
                tensor, wanted = answer
                with self.refusals_told():
                    label = f"{tensor.removesuffix('.weight')} → {wanted}"
                    self.workbench.assign([tensor], wanted, label)

        self.app.push_screen(InspectorScreen(self.workbench, name), give)
