"""The main screen's part on the points of the trade-off chart: telling of them, and using their recipes."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec
from textual import on

from lqtui.tui.screens.main_importance import MainImportance
from lqtui.tui.widgets import point_sentence
from lqtui.tui.widgets.chart_pane import ChartPane
from lqtui.tui.widgets.chart_points import CURRENT, FRONTIER
from lqtui.tui.widgets.results import ResultsTable
from lqtui.tui.widgets.status_line import StatusLine
from lqtui.tui.widgets.tradeoff import TradeoffChart
from lqtui.workbench import FrontierPoint


class MainChart(MainImportance):
    """Walking the chart, over the workbench of the main screen."""

    @on(ChartPane.Walked)
    def _follow_walk(self, event: ChartPane.Walked) -> None:
        """Tell of the point at hand; the results' cursor goes along."""
        self.explain_cell()
        if event.spot is not None and event.chart.has_focus:
            self.query_one(ResultsTable).move_cursor(event.spot.key)

    def explain_cell(self, *, moved: bool = True) -> None:
        """Tell of the point at hand in the chart, where there is one; else of what the cursor is on."""
        super().explain_cell(moved=moved)
        chart = self.query_one(TradeoffChart)
        spot = chart.at_hand if chart.has_focus or chart.is_hovered else None
        if spot is not None and (wordings := self._point_wordings(spot.key)):
            self.query_one(StatusLine).explain(*wordings, moved=moved)

    def _point_wordings(self, key: Hashable) -> list[str]:
        plan, row = self.workbench.plan, self.query_one(ResultsTable).row_of(key)
        if row is not None:
            return point_sentence.of_result(row, self._standings, self._metric)
        if (point := self._frontier_point(key)) is not None:
            return point_sentence.of_prediction(point)
        if key == (CURRENT,) and plan is not None:
            return point_sentence.of_current(plan, self.predicted_kld, self.key("run.measure"))
        return []

    def _frontier_point(self, key: Hashable) -> FrontierPoint | None:
        return next((p for p in self.workbench.frontier if (FRONTIER, p.plan.digest) == key), None)

    @on(ChartPane.Chosen)
    def _use_point(self, event: ChartPane.Chosen) -> None:
        """Put a point's recipe in the grid."""
        key, plan = event.spot.key, self.workbench.plan
        row, point = self.query_one(ResultsTable).row_of(key), self._frontier_point(key)
        if row is not None:
            recipe = msgspec.structs.replace(row.result.recipe, name=row.result.name)
        elif point is not None:
            recipe = point.plan.recipe
        else:
            self.announce("This recipe is in the grid already.")
            return
        digest = row.result.digest if row is not None else point.plan.digest if point is not None else ""
        if plan is not None and digest == plan.digest:
            self.announce(f"{recipe.name} is in the grid already.")
            return
        self._use(recipe)
        self.announce(f"{recipe.name} is in the grid; {self.key('recipe.undo')} takes it back.")
