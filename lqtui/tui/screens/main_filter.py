"""The main screen's part on filters: of the layers, and of the results."""

from __future__ import annotations

from textual import events, on

from lqtui.tui.screens.main_importance import MainImportance
from lqtui.tui.widgets.filter_line import FilterLine
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.results import ResultsTable

_OF_LAYERS = "ffn_down   Q4_0   3-7   mixed   fallback   attn_*,embd   !Q8_0"
_OF_RESULTS = "part of a name   *-fit   !uniform"


class MainFilter(MainImportance):
    """Filters, over the panes of the main screen."""

    _filters_results = False
    _is_to_tell = False

    def action_filter(self) -> None:
        """Type a filter: of the results where they have the focus, else of the layers."""
        table, grid = self.query_one(ResultsTable), self.query_one(LayerGrid)
        if not self._has_model():
            return
        self._filters_results = table.has_focus
        if self._filters_results:
            self.query_one(FilterLine).open(table.filter, _OF_RESULTS)
        else:
            self.query_one(FilterLine).open(grid.filter, _OF_LAYERS)

    @on(FilterLine.Changed)
    def _filter_by(self, event: FilterLine.Changed) -> None:
        if self._filters_results:
            self.query_one(ResultsTable).show_filter(event.text)
        else:
            self.query_one(LayerGrid).show_filter(event.text)
            self.explain_cell(moved=False)

    @on(FilterLine.Left)
    def _leave_filter(self, event: FilterLine.Left) -> None:
        pane = self.query_one(ResultsTable) if self._filters_results else self.query_one(LayerGrid)
        if not event.kept:
            pane.show_filter("")
        pane.focus()
        self._is_to_tell = event.kept and not self._filters_results

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Tell how much matches once the layers have the focus again, behind what that has told."""
        if self._is_to_tell and event.widget.id == "grid":
            self._is_to_tell = False
            self.call_later(self._tell_of_matches)

    def _tell_of_matches(self) -> None:
        grid = self.query_one(LayerGrid)
        if grid.selection.matching is None:
            return
        every, clear, found = self.key("grid.all"), self.key("grid.clear"), len(grid.selection.matching)
        if found:
            self.announce(f"{found} tensors match: {every} selects them, {clear} shows all again.")
        else:
            self.announce(f"No tensor matches /{grid.filter}; {clear} shows all again.")
