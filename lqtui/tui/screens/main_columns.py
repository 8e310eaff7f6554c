"""The main screen's part on the columns of the layers."""

from __future__ import annotations

from collections.abc import Iterable

from lqtui.tui.screens.columns import ColumnsScreen
from lqtui.tui.screens.main_panes import MainPanes
from lqtui.tui.widgets.grid_columns import GridFact
from lqtui.tui.widgets.layer_grid import LayerGrid


class MainColumns(MainPanes):
    """Shows and hides columns of the layers."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that the layers show, for a session to remember."""
        facts = self.query_one(LayerGrid).facts
        return tuple(fact.value for fact in GridFact if fact in facts)

    @columns.setter
    def columns(self, names: Iterable[str]) -> None:
        """Show columns by their names; a name that is none of theirs is passed over."""
        wanted = set(names)
        self._show_facts(frozenset(fact for fact in GridFact if fact.value in wanted))

    def _show_facts(self, facts: frozenset[GridFact]) -> None:
        self.query_one(LayerGrid).show_facts(facts)
        self.show_predicted_column()

    def action_columns(self) -> None:
        """Choose the columns of the layers."""
        grid = self.query_one(LayerGrid)
        if self._has_model():
            self.app.push_screen(ColumnsScreen(grid.facts, lambda: grid.left_out, self._show_facts))
