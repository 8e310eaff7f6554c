"""The main screen's chart and results: when they are shown, by which metric, and against which recipe."""

from __future__ import annotations

from textual import on
from textual.timer import Timer

from lqtui.tui.screens.main_actions import MainActions
from lqtui.tui.widgets.chart_scene import Other
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.quantities import MIB
from lqtui.tui.widgets.result_sentence import sentences
from lqtui.tui.widgets.results import ResultsTable
from lqtui.tui.widgets.standings import Comparer, Standings, is_scored, reference_of
from lqtui.tui.widgets.status_line import StatusLine
from lqtui.tui.widgets.tradeoff import TradeoffChart
from lqtui.workbench import Workbench

_CHART_DELAY = 0.08


class MainResults(MainActions):
    """What was measured, over the workbench of the main screen."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__(workbench)
        self._comparer = Comparer(workbench)
        self._standings = Standings()
        self._metric = Metric.KLD
        self._chosen_reference: str | None = None
        self._chart_timer: Timer | None = None

    def show_measured(self) -> None:
        """Show the results at once, and the chart, which costs more than the rest together, soon."""
        results, plan = self.workbench.results, self.workbench.plan
        digest = plan.digest if plan else None
        reference = reference_of(results, digest, self._chosen_reference)
        picked = reference is not None and reference.digest not in (digest, self._chosen_reference)
        self._standings = self._comparer.standings(results, reference, picked=picked)
        base_bytes = plan.shape.file_bytes if plan else 0
        self.query_one(ResultsTable).show(
            results, digest, self._standings, self.workbench.chunks_wanted, base_bytes
        )
        self._explain_result(moved=False)
        if not self._standings.complete:
            self.call_later(self.show_measured)
        self.show_chart_soon()

    def show_chart_soon(self, *, rested: bool = False) -> None:
        """Draw the chart a little later, once for all that changes till then, or when the fingers rest."""
        if self._chart_timer is not None:
            if not rested:
                return
            self._chart_timer.stop()
        self._chart_timer = self.set_timer(_CHART_DELAY, self._show_chart)

    def _show_chart(self) -> None:
        self._chart_timer = None
        plan, table = self.workbench.plan, self.query_one(ResultsTable)
        selected = table.row.result.digest if table.row and table.has_focus else None
        predicted = self.workbench.prediction(plan) if plan is not None else None
        slots, active = self.workbench.slots, self.workbench.active_slot
        others = [
            Other(slot.letter, slot.name, slot.plan.digest, slot.plan.file_bytes / MIB)
            for number, slot in enumerate(slots)
            if number != active
        ]
        self.query_one(TradeoffChart).show(
            self.workbench.results, plan, selected, self._metric, self.workbench.frontier, predicted, others
        )

    def action_next_metric(self) -> None:
        """Show the next metric in the chart, and first in the table."""
        self._metric = self._metric.next
        self.query_one(ResultsTable).show_first(self._metric)
        self._show_chart()
        self.announce(f"Chart and results by {self._metric.described}.")

    @on(ResultsTable.ReferenceChosen)
    def _compare_with(self, event: ResultsTable.ReferenceChosen) -> None:
        result = event.result
        if not is_scored(result):
            self.announce(f"{result.title} has nothing to be compared by.")
            return
        is_given_up = self._chosen_reference == result.digest
        self._chosen_reference = None if is_given_up else result.digest
        self.show_measured()
        reference = self._standings.reference
        if not is_given_up:
            again = f"{self.key('results.refer')} again compares with the recipe in the grid or the best"
            self.announce(f"Compared with {result.title}; {again}.")
        elif reference is not None:
            self.announce(f"Compared again with the recipe in the grid or the best: {reference.title}.")
        else:
            self.announce("Compared with nothing until a recipe other than the base is measured.")

    @on(ResultsTable.Moved)
    def follow_results_cursor(self) -> None:
        """Tell of the recipe under the results' cursor, where that is what the keys move."""
        self._explain_result(moved=True)
        self.show_chart_soon()

    def _explain_result(self, *, moved: bool) -> None:
        table = self.query_one(ResultsTable)
        if table.has_focus and table.row is not None:
            wordings = sentences(table.row, self._standings, self.key)
            self.query_one(StatusLine).explain(*wordings, moved=moved)
