"""The main screen's part on the columns of the layers."""

from __future__ import annotations

from lqtui.tui.screens.columns import ColumnsScreen
from lqtui.tui.screens.main_panes import MainPanes
from lqtui.tui.widgets.layer_grid import LayerGrid


class MainColumns(MainPanes):
    """Shows and hides columns of the layers."""

    def action_columns(self) -> None:
        """Choose the columns of the layers."""
        grid = self.query_one(LayerGrid)
        if self._has_model():
            self.app.push_screen(ColumnsScreen(grid.facts, lambda: grid.left_out, self.show_facts))
