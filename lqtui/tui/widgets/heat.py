"""Importance as the layer grid draws it: solid where it was measured, dotted where it was only estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style

from lqtui.tui.widgets.grid_layout import GridLayout, GridRow
from lqtui.tui.widgets.grid_selection import GridSelection, Scope
from lqtui.tui.widgets.importance import LEVELS, ImportanceColumn, Mark, ScoreKind

_SOLID = " ▏▎▍▌▋▊▉█"
_DOTTED = " ⡇⣿"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_DOTS = "⡀⣀⣄⣤⣦⣶⣷⣿"
_HOT, _WARM = 7, 5
"""Levels from which a mark has a warning's colour, and a weaker one."""
BAR = LEVELS
"""Cells of a bar: each is twice as much, as each level is."""
NUMBER = 9
SCORE_LEAST = BAR + 1
"""Cells below which scores have no room."""
_UNDERLINE = Style(underline=True)


@dataclass(frozen=True)
class Place:
    """What of a row's width the column takes: its left gap, its bars or heights, and its numbers."""

    gap: int
    width: int
    number: int

    @property
    def cells(self) -> int:
        """All of it."""
        return self.gap + self.width + self.number


def place_in(room: int, layout: GridLayout) -> Place | None:
    """How the column makes use of `room` cells, None where they are too few for it."""
    heights = len(layout.columns) + max(0, len(layout.groups) - 1)
    width = max(BAR, min(heights, room - 2))
    for gap, number, spare in ((2, NUMBER, 0), (2, 0, 1), (1, 0, 0)):
        if gap + width + number + spare <= room:
            return Place(gap, width, number)
    return Place(1, BAR, 0) if room >= SCORE_LEAST else None


def height_glyph(level: int, is_estimate: bool) -> str:
    """A level in one character, unlike for what was measured and for an estimate; level 0 is a dot."""
    return (_DOTS if is_estimate else _HEIGHTS)[level - 1] if level else "·"


def height_style(level: int, is_estimate: bool) -> str:
    """The grid's component class for a level."""
    if is_estimate or not level:
        return f"layer-grid--{'estimate' if level else 'dim'}"
    return f"layer-grid--heat-{'hot' if level >= _HOT else 'warm' if level >= _WARM else 'cool'}"


class HeatPainter:
    """Draws one column of scores at its place; `style` gives the grid's component styles by name."""

    def __init__(
        self, column: ImportanceColumn, layout: GridLayout, place: Place, style: Callable[[str], Style]
    ) -> None:
        self._column = column
        self._layout = layout
        self.place = place
        self._dim, self._here = style("dim"), style("header-here")
        self._estimate = style("estimate")
        self._cool, self._warm, self._hot = (style(f"heat-{name}") for name in ("cool", "warm", "hot"))
        spread = len(layout.columns) + max(0, len(layout.groups) - 1)
        self._group_gap = 1 if spread <= place.width else 0
        self._has_heights = bool(column.tensors) and len(layout.columns) <= place.width

    def title(self) -> Segment:
        """The column's name, as much of it as there is room for."""
        width = self.place.width + self.place.number
        fitting = (title for title in self._column.titles if len(title) <= width)
        text = next(fitting, self._column.titles[-1][:width])
        return Segment(" " * self.place.gap + text.ljust(width), self._dim)

    def labels(self, selection: GridSelection) -> list[Segment]:
        """Under the title: the tensors' letters in tensor scope, else what a bar is."""
        pad = Segment(" " * self.place.gap, self._dim)
        if not self._shows_heights(selection.scope):
            said = "sum" if self._column.is_sum else "rank" if self._column.kind.is_estimate else "alone"
            return [pad, Segment(said.ljust(self.place.width + self.place.number), self._dim)]
        segments, used = [pad], 0
        for index, column in enumerate(self._layout.columns):
            here = selection.cursor_row.block is not None and index in selection.columns
            lead = " " * self._gap_before(index)
            style = self._here + _UNDERLINE if here else self._dim
            segments += [Segment(lead, self._dim), Segment(column.label[0], style)]
            used += len(lead) + 1
        segments.append(Segment(" " * (self.place.width + self.place.number - used), self._dim))
        return segments

    def row(self, y: int, row: GridRow, scope: Scope) -> list[Segment]:
        """A row's heights in tensor scope, else its bar and its number."""
        pad = Segment(" " * self.place.gap, self._dim)
        if self._shows_heights(scope) and row.block is not None:
            return [pad, *self._heights(self._column.marks(row))]
        mark = self._column.rows[y]
        if mark is None:
            return [pad, Segment(" " * (self.place.width + self.place.number), self._dim)]
        segments = [pad, Segment(self._bar(mark), self._style(mark))]
        if self.place.number:
            text = short_number(mark, self._column.kind).rjust(self.place.number - 1)
            segments.append(Segment(f" {text}", self._dim if self._column.kind.is_estimate else self._cool))
        return segments

    def _shows_heights(self, scope: Scope) -> bool:
        return scope is Scope.TENSOR and self._has_heights

    def _gap_before(self, index: int) -> int:
        columns = self._layout.columns
        return self._group_gap if index and columns[index].group != columns[index - 1].group else 0

    def _heights(self, marks: Sequence[Mark | None]) -> list[Segment]:
        glyphs = _DOTS if self._column.kind.is_estimate else _HEIGHTS
        segments, used = [], 0
        for index, mark in enumerate(marks):
            if gap := self._gap_before(index):
                segments.append(Segment(" " * gap, self._dim))
            segments.append(
                Segment("·", self._dim)
                if mark is None
                else Segment(glyphs[mark.level - 1], self._style(mark))
            )
            used += gap + 1
        return [*segments, Segment(" " * (self.place.width + self.place.number - used), self._dim)]

    def _bar(self, mark: Mark) -> str:
        parts = _DOTTED if self._column.kind.is_estimate else _SOLID
        steps = len(parts) - 1
        full, rest = divmod(max(1, round(mark.share * BAR * steps)), steps)
        return (parts[-1] * full + (parts[rest] if rest else "")).ljust(self.place.width)

    def _style(self, mark: Mark) -> Style:
        if self._column.kind.is_estimate:
            return self._estimate
        return self._hot if mark.level >= _HOT else self._warm if mark.level >= _WARM else self._cool


def short_number(mark: Mark, kind: ScoreKind) -> str:
    """A score in at most eight characters: `Σ0.012`, `1.2e-05`; what has no zero of its own is `-0.973`."""
    if kind.is_of_blocks:  # less ZD is more important
        return f"{-mark.value if kind is ScoreKind.ZD else mark.value:.3f}"
    text = f"{mark.value:.2g}"
    return f"Σ{text}" if mark.is_sum else text
