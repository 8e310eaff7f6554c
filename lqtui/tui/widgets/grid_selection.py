"""Where the cursor of the layer grid is, and which tensors the next key acts on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from lqtui.recipe.presets import ranges
from lqtui.tui.widgets.filters import said_of
from lqtui.tui.widgets.grid_layout import GridLayout, GridRow


class Scope(StrEnum):
    """What the cursor stands on: a whole row, or one tensor of it."""

    BLOCK = "block"
    TENSOR = "tensor"


@dataclass(frozen=True)
class GridSelection:
    """The cursor, a range's other end, and how much "select all" took: 0, 1 (blocks) or 2 (everything).

    Where a filter is on, `matching` are the tensors that it lets through: blocks, ranges and "select all"
    take no other, and the cursor steps from row to row of theirs.
    """

    layout: GridLayout
    scope: Scope = Scope.BLOCK
    row: int = 0
    column: int = 0
    anchor: tuple[int, int] | None = None
    everything: int = 0
    matching: frozenset[str] | None = None

    @property
    def cursor_row(self) -> GridRow:
        """The row of the cursor."""
        return self.layout.rows[self.row]

    @property
    def cursor_column(self) -> int:
        """The column of the cursor: a row with one tensor has only the first."""
        return self.column if self.cursor_row.block is not None else 0

    @property
    def cursor_tensor(self) -> str | None:
        """The tensor under the cursor, in tensor scope."""
        if self.scope is Scope.BLOCK or not self.layout.columns:
            return None
        return self.cursor_row.cells[self.cursor_column]

    @property
    def is_range(self) -> bool:
        """Whether more than the cursor's own row or cell is selected."""
        return self.anchor is not None or self.everything > 0

    @property
    def rows(self) -> range | tuple[int, ...]:
        """The selected rows."""
        if self.everything:
            return self.layout.block_rows if self.everything == 1 else range(len(self.layout.rows))
        start = self.anchor[0] if self.anchor else self.row
        return range(min(start, self.row), max(start, self.row) + 1)

    @property
    def columns(self) -> range:
        """The selected columns: all of them in block scope."""
        last = max(len(self.layout.columns), 1)
        if self.scope is Scope.BLOCK or self.everything == 2:
            return range(last)
        start = self.anchor[1] if self.anchor else self.column
        if self.everything:
            return range(self.column, self.column + 1)
        return range(min(start, self.column), max(start, self.column) + 1)

    def columns_in(self, row: int) -> range:
        """The selected columns of one row, empty for a row that is not selected."""
        if row not in self.rows:
            return range(0)
        if self.layout.rows[row].block is None:
            return range(1) if self.scope is Scope.BLOCK or self._takes_single(row) else range(0)
        return self.columns

    def _takes_single(self, row: int) -> bool:
        return row == self.row or self.everything == 2 or 0 in self.columns

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the selected tensors."""
        rows = self.layout.rows
        return tuple(
            name
            for y in self.rows
            for x in self.columns_in(y)
            if x < len(rows[y].cells) and (name := rows[y].cells[x]) and self._takes(name)
        )

    def _takes(self, name: str) -> bool:
        """Whether keys act on a tensor that is selected; one by itself is there to be seen."""
        alone = self.scope is Scope.TENSOR and not self.is_range
        return self.matching is None or alone or name in self.matching

    def shown_in(self, row: int) -> frozenset[int] | None:
        """The columns of a row that the filter lets through, None where there is no filter."""
        if self.matching is None:
            return None
        cells = self.layout.rows[row].cells
        return frozenset(x for x, name in enumerate(cells) if name in self.matching)

    def shows(self, row: int) -> bool:
        """Whether the filter lets anything of a row through."""
        names = self.layout.rows[row].names
        return self.matching is None or any(name in self.matching for name in names)

    @property
    def title(self) -> str:
        """The selection in a few words: `blocks 4-11`, `attn_v of blocks 0-29`, `block 3 and embedding`."""
        rows = self.layout.rows
        if self.scope is Scope.TENSOR and not self.is_range:
            name = self.cursor_tensor
            return name.removesuffix(".weight") if name else self.cursor_row.title
        if self.matching is not None:
            return said_of(self.layout, self.tensors)
        if self.everything == 2:
            return "everything"
        selected = [y for y in self.rows if len(self.columns_in(y))]
        blocks = [block for y in selected if (block := rows[y].block) is not None]
        parts = []
        if blocks:
            parts.append(f"block{'s' if len(blocks) > 1 else ''} {ranges(blocks)}")
        parts += [rows[y].title for y in selected if rows[y].block is None and rows[y].names]
        text = " and ".join(parts) or "nothing"
        if self.scope is Scope.TENSOR and blocks:
            roles = [self.layout.columns[x].role for x in self.columns]
            named = ", ".join(roles) if len(roles) <= 3 else f"{len(roles)} roles"
            return f"{named} of {text}" if len(roles) < len(self.layout.columns) else text
        return text

    def moved(self, rows: int, columns: int) -> GridSelection:
        """The cursor moved, within the grid; in a range, its other end stays."""
        row = min(max(self.row + rows, 0), len(self.layout.rows) - 1)
        column = min(max(self.column + columns, 0), max(len(self.layout.columns) - 1, 0))
        return replace(self, row=row, column=column, everything=0)

    def stepped(self, step: int) -> GridSelection:
        """The cursor on the next row in a direction that the filter lets through; without one, it stays."""
        rows = range(self.row + step, len(self.layout.rows) if step > 0 else -1, 1 if step > 0 else -1)
        there = next((row for row in rows if self.shows(row)), None)
        return replace(self, everything=0) if there is None else self.moved(there - self.row, 0)

    def at_edge(self, step: int) -> GridSelection:
        """The cursor on the last row (1) or the first (-1) that the filter lets through."""
        rows = [row for row in range(len(self.layout.rows)) if self.shows(row)]
        return self.moved(rows[-1 if step > 0 else 0] - self.row, 0) if rows else self

    def placed(self, row: int, column: int | None) -> GridSelection:
        """The cursor on a row, and on one of its cells or, with None, on the whole of it."""
        scope = Scope.BLOCK if column is None else Scope.TENSOR
        there = replace(self, scope=scope, row=0, column=0, everything=0)
        return there.moved(row, column or 0)

    def with_range_toggled(self) -> GridSelection:
        """A range begun at the cursor, or the one there is ended."""
        anchor = None if self.is_range else (self.row, self.cursor_column)
        return replace(self, anchor=anchor, everything=0)

    def with_more_selected(self) -> GridSelection:
        """All blocks (in tensor scope: this role in all blocks); then everything; then the cursor alone."""
        return replace(self, anchor=None, everything=(self.everything + 1) % 3)

    def cleared(self) -> GridSelection:
        """The cursor alone."""
        return replace(self, anchor=None, everything=0)

    def scoped(self, scope: Scope) -> GridSelection:
        """The same cursor in another scope."""
        return replace(self, scope=scope)
