"""The keys that move the cursor of the layer grid, and that select."""

from __future__ import annotations

from lqtui.tui.widgets.grid_mouse import HEADER_LINES, GridMouse
from lqtui.tui.widgets.grid_selection import Scope


class GridMoves(GridMouse):
    """What the layer grid does about the keys that change its selection."""

    def show_filter(self, text: str) -> None:
        """Let only what matches a text count."""
        raise NotImplementedError

    def action_move(self, rows: int, columns: int) -> None:
        """Move the cursor; sideways it passes between a block and its tensors."""
        selection = self.selection
        if columns and selection.scope is Scope.BLOCK:
            if columns > 0:
                self.select(selection.placed(selection.row, 0))
        elif columns < 0 and selection.cursor_column == 0 and not selection.is_range:
            self.select(selection.scoped(Scope.BLOCK))
        elif rows and selection.matching is not None:
            self.select(selection.stepped(rows))
        else:
            self.select(selection.moved(rows, columns))

    def action_page(self, direction: int) -> None:
        """Move by a page."""
        self.select(self.selection.moved(direction * max(1, self.size.height - HEADER_LINES - 1), 0))

    def action_edge(self, direction: int) -> None:
        """Move to the first or the last row."""
        self.select(self.selection.at_edge(direction))

    def action_open_block(self) -> None:
        """Pass between the block and its tensors."""
        other = Scope.TENSOR if self.selection.scope is Scope.BLOCK else Scope.BLOCK
        self.select(self.selection.scoped(other))

    def action_scope(self, scope: str) -> None:
        """Let keys act on blocks or on tensors."""
        self.select(self.selection.scoped(Scope(scope)))

    def action_range(self) -> None:
        """Begin or end a range."""
        self.select(self.selection.with_range_toggled())

    def action_all(self) -> None:
        """Select more."""
        self.select(self.selection.with_more_selected())

    def action_clear(self) -> None:
        """End the range; without one, the filter; without either, go back to block scope."""
        selection = self.selection
        if selection.is_range or selection.matching is None:
            self.select(selection.cleared() if selection.is_range else selection.scoped(Scope.BLOCK))
        else:
            self.show_filter("")
