"""The main screen's part on where the person left: shown when a model is opened, and remembered meanwhile."""

from __future__ import annotations

from lqtui.tui.screens.main_columns import MainColumns
from lqtui.tui.screens.main_panes import PANES
from lqtui.tui.widgets.grid_selection import Scope
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.results import ResultsTable
from lqtui.workbench import Workbench
from lqtui.workbench.session import Look, View

_SECONDS = 1.0
"""So often it is looked whether there is something to remember: no more than this is ever lost."""


class MainSession(MainColumns):
    """Remembers cursor, pane and looks, over the workbench of the main screen."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__(workbench)
        self._pane_left = ""

    def on_mount(self) -> None:
        """Begin to remember, where a session is kept."""
        if self.workbench.sessions is not None:
            self.set_interval(_SECONDS, self.remember)

    def look_as_left(self, look: Look) -> None:
        """Show the chart's metric and the layers' columns, and give these their width, as they were left."""
        if look.metric in list(Metric):
            self._metric = Metric(look.metric)
            self.query_one(ResultsTable).show_first(self._metric)
        if look.columns is not None:
            self.columns = look.columns
        self.layers_width = look.layers_width

    def place_as_left(self) -> None:
        """Put the cursor where it was when the model was left."""
        view = self.workbench.take_left_view() if self.workbench.sessions is not None else None
        if view is not None:
            grid = self.query_one(LayerGrid)
            placed = grid.selection.placed(view.row, max(0, view.column))
            grid.select(placed.scoped(Scope.TENSOR if view.scope == Scope.TENSOR else Scope.BLOCK))
            self._pane_left = view.pane

    def focus_opened(self) -> None:
        """Give the keys to the pane that had them when the model was left."""
        pane, self._pane_left = self._pane_left, ""
        if pane in PANES and pane != "layers":
            self.action_pane(pane)
        else:
            super().focus_opened()
        self._tell_notices()

    def remember(self) -> None:
        """Remember where the person is, as every second and when the app is left."""
        grids = self.query(LayerGrid)  # none once the screen was taken down
        if self.workbench.sessions is not None and grids:
            selection = grids.first().selection
            row, column, scope = selection.row, selection.column, selection.scope.value
            look = Look(
                theme=self.app.theme,
                metric=self._metric.value,
                columns=self.columns,
                layers_width=self.layers_width,
            )
            self.workbench.remember(View(row=row, column=column, scope=scope, pane=self._pane), look)
            self._tell_notices()

    def _tell_notices(self) -> None:
        for notice in self.workbench.take_notices():
            self.notify(notice, severity="warning", timeout=12, markup=False)
