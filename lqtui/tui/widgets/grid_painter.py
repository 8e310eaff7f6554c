"""Draws the lines of the layer grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from lqtui.measure.rounding import small
from lqtui.recipe.recipe import Plan
from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.grid_columns import DEFAULT_FACTS, WIDTHS, GridFact, place_facts
from lqtui.tui.widgets.grid_layout import GridLayout, GridRow
from lqtui.tui.widgets.grid_selection import GridSelection, Scope
from lqtui.tui.widgets.heat import HeatPainter
from lqtui.tui.widgets.importance import ImportanceColumn
from lqtui.tui.widgets.quantities import mebibytes
from lqtui.tui.widgets.type_glyphs import FALLBACK_MARK, TypeStyles, code_of

_BEFORE_SCORES = (GridFact.TYPE, GridFact.SIZE, GridFact.BPW)
_UNDERLINE = Style(underline=True)
_NOTHING: Mapping[str, float] = {}


@dataclass(frozen=True)
class RowContent:
    """What a row shows: its cells' types and whether they fell back (None: no such tensor), and its size.

    `predicted` is what the recipe costs in its tensors, in nats, None where it is not known or not asked for.
    """

    cells: tuple[tuple[TensorType, bool] | None, ...]
    type_label: str
    size: int
    share: float
    bits_per_weight: float
    predicted: float | None = None


@dataclass(frozen=True)
class CursorHere:
    """The cursor, on the row that is drawn."""

    scope: Scope
    column: int
    focused: bool


def read_row(plan: Plan, row: GridRow, predicted: Mapping[str, float] = _NOTHING) -> RowContent:
    """What a plan makes of a row, with what is predicted of each tensor that it changes."""
    by_name = plan.by_name
    cells = tuple((by_name[name].effective, by_name[name].fell_back) if name else None for name in row.cells)
    types = {cell[0] for cell in cells if cell}
    size = base = weights = 0
    for name in row.all_names:
        planned = by_name[name]
        size += planned.bytes
        base += planned.tensor.bytes_as(planned.tensor.type)
        weights += math.prod(planned.tensor.ne)
    label = "mixed" if len(types) > 1 else str(next(iter(types), ""))
    kld = sum(predicted.get(name, 0.0) for name in row.names) if predicted else None
    return RowContent(
        cells, label, size, size / base if base else 0.0, 8 * size / weights if weights else 0.0, kld
    )


class GridPainter:
    """Draws with one set of styles at one width; `style` gives the grid's component styles by name."""

    def __init__(
        self,
        layout: GridLayout,
        styles: TypeStyles,
        style: Callable[[str], Style],
        width: int,
        importance: ImportanceColumn | None = None,
        facts: Collection[GridFact] = DEFAULT_FACTS,
    ) -> None:
        self._layout = layout
        self._types = styles
        self._text, self._dim = style("text"), style("dim")
        self._label, self._cursor = style("label"), style("cursor")
        self._header_here = style("header-here")
        self._bar, self._track = style("bar"), style("track")
        self._forecast = style("forecast")
        self.sticky_width = 2 + layout.label_width
        place = place_facts(layout, width, facts, importance)
        self.shown, self._bar_width = place.shown, place.bar
        self._heat = (
            HeatPainter(importance, layout, place.score, style) if importance and place.score else None
        )

    @property
    def score_span(self) -> range:
        """The cells of a line that the scores take."""
        if self._heat is None:
            return range(0)
        before = sum(WIDTHS[fact] for fact in _BEFORE_SCORES if fact in self.shown)
        start = self.sticky_width + self._layout.cells_width + before
        return range(start, start + self._heat.place.cells)

    def groups(self) -> Strip:
        """The header's first line: attn, ffn, experts."""
        segments = [Segment(" " * self.sticky_width, self._dim)]
        x = 0
        for name, start, width in self._layout.groups:
            line = f" {name} ".ljust(width - 1, "─") if width > len(name) + 2 else f" {name}"
            segments.append(Segment(" " * (start - x) + line, self._dim))
            x = start + len(line)
        if self._heat is not None:
            tail = self._layout.cells_width + sum(WIDTHS[f] for f in _BEFORE_SCORES if f in self.shown)
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
        titles = {
            GridFact.TYPE: "  type".ljust(WIDTHS[GridFact.TYPE]),
            GridFact.SIZE: "MiB",
            GridFact.BPW: "bpw",
        }
        segments += [
            Segment(titles[fact].rjust(WIDTHS[fact]), self._dim)
            for fact in _BEFORE_SCORES
            if fact in self.shown
        ]
        if self._heat is not None:
            segments += self._heat.labels(selection)
        if GridFact.PREDICTED in self.shown:
            segments.append(Segment("◇pred.".rjust(WIDTHS[GridFact.PREDICTED]), self._forecast))
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
        through: frozenset[int] | None = None,
    ) -> Strip:
        """A row: cursor mark, label, cells, type, size, importance, and its share of the base's size.

        `through` are the columns that a filter lets through; the others are left blank.
        """
        on_row = here is not None and here.focused and here.scope is Scope.BLOCK
        label_style = self._cursor if on_row else self._label if here or selected else self._dim
        segments = [
            Segment("▶" if here else "┃" if selected else " ", self._label),
            Segment(row.label.rjust(self._layout.label_width) + " ", label_style),
        ]
        if row.note:
            return Strip([*segments, Segment(f" {row.note}", self._dim)])
        segments += self._cells(row, content, selected, here, through)
        segments += self._facts(content, self._dim if through == frozenset() else self._text)
        if self._heat is not None:
            segments += self._heat.row(y, row, scope)
        if GridFact.PREDICTED in self.shown:
            known = content.predicted
            said = "" if known is None else small(known)[0]
            segments.append(Segment(said.rjust(WIDTHS[GridFact.PREDICTED]), self._forecast))
        if self._bar_width:
            filled = max(1, round(min(content.share, 1.0) * self._bar_width))
            segments.append(Segment("  " + "━" * filled, self._bar))
            segments.append(Segment("─" * (self._bar_width - filled), self._track))
        return Strip(segments)

    def _facts(self, content: RowContent, look: Style) -> list[Segment]:
        """The type, the size and the bits of a row."""
        label = f"  {content.type_label}".ljust(WIDTHS[GridFact.TYPE])
        texts = {
            GridFact.TYPE: (label, self._dim if content.type_label == "mixed" else look),
            GridFact.SIZE: (mebibytes(content.size), look),
            GridFact.BPW: (f"{content.bits_per_weight:.2f}", look),
        }
        return [
            Segment(text.rjust(WIDTHS[fact]), style)
            for fact, (text, style) in texts.items()
            if fact in self.shown
        ]

    def _cells(
        self,
        row: GridRow,
        content: RowContent,
        selected: range,
        here: CursorHere | None,
        through: frozenset[int] | None,
    ) -> list[Segment]:
        segments: list[Segment] = []
        x = 0
        for index, (column, cell) in enumerate(zip(self._layout.columns, content.cells, strict=False)):
            if column.x > x:
                segments.append(Segment(" " * (column.x - x), self._text))
            x = column.x + column.width
            under = here is not None and here.scope is Scope.TENSOR and here.column == index
            cursor = self._cursor if under and here is not None and here.focused else None
            if cell is not None and through is not None and index not in through and not under:
                segments.append(Segment(" " * column.width, self._text))
                continue
            if cell is None:
                glyph = "·" if row.block is not None else " "
                segments.append(Segment(glyph.center(column.width), cursor or self._dim))
                continue
            style = self._types[cell[0]]
            drawn = cursor or (style.selected if index in selected or under else style.plain)
            mark = FALLBACK_MARK if cell[1] else " "
            segments.append(Segment(f"{mark}{code_of(cell[0]):<2}".ljust(column.width), drawn))
        return segments
