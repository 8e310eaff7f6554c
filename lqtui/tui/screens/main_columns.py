"""The main screen's part on what is about the layers: their columns and their legend."""

from __future__ import annotations

from textual import on

from lqtui.tui.screens.main_panes import MainPanes
from lqtui.tui.widgets.layer_grid import LayerGrid


class MainColumns(MainPanes):
    """Shows and hides columns of the layers, and takes clicks on their legend."""

    def action_columns(self) -> None:
        """Choose the columns of the layers."""
        from lqtui.tui.screens.columns import ColumnsScreen, FactToggles

        grid = self.query_one(LayerGrid)
        if self._has_model():
            toggles = FactToggles(grid.facts, lambda: grid.left_out, self.show_facts)
            self.app.push_screen(ColumnsScreen(toggles))

    @on(LayerGrid.NextScore)
    def _score_clicked(self) -> None:
        self.action_next_score()

    def action_set_selected_type(self, name: str) -> None:
        """Give a type to what is selected in the layers, as the legend's chips ask for it."""
        self.query_one(LayerGrid).action_set_type(name)
