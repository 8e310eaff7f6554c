"""The main screen's part on the depth of the model: scores along it, and the lowering curves."""

from __future__ import annotations

from lqtui.recipe.types import TensorType
from lqtui.tui.screens.lowering import LOWEST, LoweringScreen
from lqtui.tui.screens.main_actions import MainActions
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.workbench import Workbench


class MainLowering(MainActions):
    """What depth is to a model, over the workbench of the main screen."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__(workbench)
        self._lowered_to = LOWEST

    def action_lowering(self) -> None:
        """Show how long quality lasts as blocks are lowered one by one."""

        def keep(to: TensorType | None) -> None:
            self._lowered_to = to or self._lowered_to

        if self._has_model():
            self.app.push_screen(LoweringScreen(self.workbench, self._lowered_to), keep)

    def action_depth(self) -> None:
        """Show what each block costs along the depth; a block that is chosen there gets the cursor."""
        from lqtui.tui.screens.depth import DepthScreen

        def go_to(block: int | None) -> None:
            grid = self.query_one(LayerGrid)
            rows = [y for y, row in enumerate(grid.rows_and_columns.rows) if row.block == block]
            if block is not None and rows:
                grid.select(grid.selection.placed(rows[0], None))
                self.call_later(self.run_action, "pane('layers')")

        if self._has_model():
            self.app.push_screen(DepthScreen(self.workbench), go_to)
