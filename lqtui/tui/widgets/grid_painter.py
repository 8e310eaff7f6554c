"""Draws the lines of the layer grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from lqtui.recipe.recipe import Plan
from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.grid_layout import GridLayout, GridRow
from lqtui.tui.widgets.grid_selection import GridSelection, Scope
from lqtui.tui.widgets.heat import HeatPainter, place_in
from lqtui.tui.widgets.importance import ImportanceColumn
from lqtui.tui.widgets.quantities import mebibytes
from lqtui.tui.widgets.type_glyphs import FALLBACK_MARK, TypeStyles, code_of

_TYPE_WIDTH = 7
_MIB_WIDTH = 7
_BAR_LEAST, _BAR_MOST = 4, 20
_UNDERLINE = Style(underline=True)


@dataclass(frozen=True)
class RowContent:
    """What a row shows: its cells' types and whether they fell back (None: no such tensor), and its size."""

    cells: tuple[tuple[TensorType, bool] | None, ...]
    type_label: str
    size: int
    share: float


@dataclass(frozen=True)
class CursorHere:
    """The cursor, on the row that is drawn."""

    scope: Scope
    column: int
    focused: bool


def read_row(plan: Plan, row: GridRow) -> RowContent:
    """What a plan makes of a row."""
    by_name = plan.by_name
    cells = tuple((by_name[name].effective, by_name[name].fell_back) if name else None for name in row.cells)
    types = {cell[0] for cell in cells if cell}
    size = base = 0
    for name in row.all_names:
        planned = by_name[name]
        size += planned.bytes
        base += planned.tensor.bytes_as(planned.tensor.type)
    label = "mixed" if len(types) > 1 else str(next(iter(types), ""))
    return RowContent(cells, label, size, size / base if base else 0.0)


def fixed_width(layout: GridLayout) -> int:
    """Cells that a row needs without its bars."""
    return 1 + layout.label_width + 1 + layout.cells_width + 2 + _TYPE_WIDTH + 1 + _MIB_WIDTH


class GridPainter:
    """Draws with one set of styles at one width; `style` gives the grid's component styles by name."""

    def __init__(
        self,
        layout: GridLayout,
        styles: TypeStyles,
        style: Callable[[str], Style],
        width: int,
        importance: ImportanceColumn | None = None,
    ) -> None:
        self._layout = layout
        self._types = styles
        self._text, self._dim = style("text"), style("dim")
        self._label, self._cursor = style("label"), style("cursor")
        self._header_here = style("header-here")
        self._bar, self._track = style("bar"), style("track")
        self.sticky_width = 2 + layout.label_width
        room = width - fixed_width(layout)
        self._type_width, self._heat = _TYPE_WIDTH + 2, None
        if importance is not None:
            place = place_in(room, layout)
            if place is None:  # the cells tell the types; the sizes stay
                self._type_width, room = 0, room + _TYPE_WIDTH + 2
                place = place_in(room, layout)
            if place is not None:
                self._heat = HeatPainter(importance, layout, place, style)
                room -= place.cells
        room = min(room - 3, _BAR_MOST)
        self._bar_width = room if room >= _BAR_LEAST else 0

    def groups(self) -> Strip:
        """The header's first line: attn, ffn, experts."""
        segments = [Segment(" " * self.sticky_width, self._dim)]
        x = 0
        for name, start, width in self._layout.groups:
            line = f" {name} ".ljust(width - 1, "─") if width > len(name) + 2 else f" {name}"
            segments.append(Segment(" " * (start - x) + line, self._dim))
            x = start + len(line)
        if self._heat is not None:
            tail = self._layout.cells_width + self._type_width + 1 + _MIB_WIDTH
            segments += [Segment(" " * (tail - x), self._dim), self._heat.title()]
        return Strip(segments)

    def labels(self, selection: GridSelection) -> Strip:
        """The header's second line: the columns, those under the cursor or in the range underlined."""
        segments = [Segment(f" {'blk':>{self._layout.label_width}} ", self._dim)]
        shown = selection.columns if selection.scope is Scope.TENSOR else range(0)
        x = 0
        for index, column in enumerate(self._layout.columns):
            here = index in shown and selection.cursor_row.block is not None
            before = (column.width - len(column.label)) // 2
            segments.append(Segment(" " * (column.x - x + before), self._dim))
            segments.append(Segment(column.label, self._header_here + _UNDERLINE if here else self._dim))
            segments.append(Segment(" " * (column.width - before - len(column.label)), self._dim))
            x = column.x + column.width
        tail = "  type".ljust(self._type_width)[: self._type_width] + f" {'MiB':>{_MIB_WIDTH}}"
        segments.append(Segment(tail, self._dim))
        if self._heat is not None:
            segments += self._heat.labels(selection)
        of_base = "of base" if self._bar_width >= len("of base") else "base" if self._bar_width else ""
        segments.append(Segment(f"  {of_base}", self._dim))
        return Strip(segments)

    def row(
        self,
        y: int,
        row: GridRow,
        content: RowContent,
        selected: range,
        here: CursorHere | None,
        scope: Scope = Scope.BLOCK,
    ) -> Strip:
        """A row: cursor mark, label, cells, type, size, importance, and its share of the base's size."""
        on_row = here is not None and here.focused and here.scope is Scope.BLOCK
        label_style = self._cursor if on_row else self._label if here or selected else self._dim
        segments = [
            Segment("▶" if here else "┃" if selected else " ", self._label),
            Segment(row.label.rjust(self._layout.label_width) + " ", label_style),
        ]
        if row.note:
            return Strip([*segments, Segment(f" {row.note}", self._dim)])
        segments += self._cells(row, content, selected, here)
        if self._type_width:
            type_style = self._dim if content.type_label == "mixed" else self._text
            segments.append(Segment(f"  {content.type_label:<{_TYPE_WIDTH}}", type_style))
        segments.append(Segment(f" {mebibytes(content.size):>{_MIB_WIDTH}}", self._text))
        if self._heat is not None:
            segments += self._heat.row(y, row, scope)
        if self._bar_width:
            filled = max(1, round(min(content.share, 1.0) * self._bar_width))
            segments.append(Segment("  " + "━" * filled, self._bar))
            segments.append(Segment("─" * (self._bar_width - filled), self._track))
        return Strip(segments)

    def _cells(
        self, row: GridRow, content: RowContent, selected: range, here: CursorHere | None
    ) -> list[Segment]:
        segments: list[Segment] = []
        x = 0
        for index, (column, cell) in enumerate(zip(self._layout.columns, content.cells, strict=False)):
            if column.x > x:
                segments.append(Segment(" " * (column.x - x), self._text))
            x = column.x + column.width
            under = here is not None and here.scope is Scope.TENSOR and here.column == index
            cursor = self._cursor if under and here is not None and here.focused else None
            if cell is None:
                glyph = "·" if row.block is not None else " "
                segments.append(Segment(glyph.center(column.width), cursor or self._dim))
                continue
            style = self._types[cell[0]]
            drawn = cursor or (style.selected if index in selected or under else style.plain)
            mark = FALLBACK_MARK if cell[1] else " "
            segments.append(Segment(f"{mark}{code_of(cell[0]):<2}".ljust(column.width), drawn))
        return segments
