"""The mouse over the layer grid: clicks move the cursor, dragging selects a range."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.scroll_view import ScrollView

from lqtui.tui.widgets.grid_layout import GridLayout
from lqtui.tui.widgets.grid_selection import GridSelection, Scope

HEADER_LINES = 2
"""Lines above the rows, which stay when these scroll."""


class GridMouse(ScrollView):
    """What the layer grid does about the mouse; `_left` is by how many cells it is scrolled sideways."""

    class NextScore(Message):
        """A person clicked the title of the scores."""

    selection: GridSelection
    _left = 0
    _dragging = False

    @property
    def rows_and_columns(self) -> GridLayout:
        """The grid of the present model."""
        return self.selection.layout

    @property
    def score_span(self) -> range:
        """The cells of a line that the scores take."""
        return range(0)

    def select(self, selection: GridSelection) -> None:
        """Adopt a selection."""
        raise NotImplementedError

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Put the cursor where the mouse is; on a column's label, select that role in all blocks.

        On the title of the scores, ask for the next ones.
        """
        row, column = self._place(event.x, event.y)
        selection = self.selection.cleared()
        if row is None and column is not None and self.rows_and_columns.block_rows:
            first = self.rows_and_columns.block_rows[0]
            self.select(selection.placed(max(first, selection.row), column).with_more_selected())
        elif row is not None:
            self._dragging = True
            self.capture_mouse()
            self.select(selection.placed(row, column))
        elif event.x + self._left in self.score_span:
            self.post_message(self.NextScore())

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Stretch a range while the button is down."""
        if not self._dragging:
            return
        row, column = self._place(event.x, event.y)
        selection = self.selection
        if row is None:
            return
        if selection.scope is Scope.BLOCK or column is None:
            column = selection.column
        if (row, column) == (selection.row, selection.column):
            return
        started = selection if selection.is_range else selection.with_range_toggled()
        self.select(started.moved(row - selection.row, column - selection.column))

    def on_mouse_up(self) -> None:
        """End the drag."""
        if self._dragging:
            self._dragging = False
            self.release_mouse()

    def _place(self, x: int, y: int) -> tuple[int | None, int | None]:
        """The row (None: none) and column (None: the row's label or its numbers) at a point of the widget."""
        layout = self.rows_and_columns
        cell_x = x + self._left - layout.label_width - 2
        column = next((i for i, c in enumerate(layout.columns) if c.x <= cell_x < c.x + c.width), None)
        row = y - HEADER_LINES + self.scroll_offset.y
        in_rows = y >= HEADER_LINES and 0 <= row < len(layout.rows)
        return (row if in_rows else None), (column if in_rows or y < HEADER_LINES else None)
