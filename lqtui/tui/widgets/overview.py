"""All the blocks of a deep model at once, in a strip beside the layers' scroll bar."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from lqtui.recipe.recipe import Plan
from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.grid_columns import GridFact
from lqtui.tui.widgets.grid_layout import GridRow
from lqtui.tui.widgets.grid_mouse import HEADER_LINES
from lqtui.tui.widgets.heat import height_glyph, height_style
from lqtui.tui.widgets.importance import ImportanceColumn
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.type_glyphs import TypeStyles, code_of

_DELAY = 0.06
_DEEP = 4 / 3
"""So many times the rows that there is room for are worth an overview."""


@dataclass(frozen=True)
class OverviewLine:
    """What one line stands for: some rows, the type of most of their tensors, and the highest score's level.

    `is_mixed` tells that there are other types too; level 0 is for no score.
    """

    rows: range
    type: TensorType | None
    is_mixed: bool
    level: int = 0


def overview_lines(
    plan: Plan, rows: tuple[GridRow, ...], height: int, scores: ImportanceColumn | None = None
) -> tuple[OverviewLine, ...]:
    """A line for each few of the rows; nothing where all or most of them find room in `height` lines."""
    count = len(rows)
    if height < 1 or count < _DEEP * height:
        return ()
    lines = []
    for y in range(height):
        of = range(y * count // height, (y + 1) * count // height)
        types = Counter(plan.by_name[name].effective for row in of for name in rows[row].names)
        levels = [mark.level for row in of if scores and (mark := scores.rows[row])]
        most = types.most_common(1)
        lines.append(OverviewLine(of, most[0][0] if most else None, len(types) > 1, max(levels, default=0)))
    return tuple(lines)


class OverviewStrip(Widget):
    """One cell a line for the types, one more for the scores where the layers show these.

    The cursor's line has a mark and its colours; a click, or the mouse drawn along it, goes there. Where most
    rows are in sight anyway there is no strip.
    """

    DEFAULT_CSS = """
    OverviewStrip { width: auto; height: 1fr; display: none; }
    OverviewStrip.-deep { display: block; }
    """

    def __init__(self, grid: LayerGrid, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._grid = grid
        self._lines: tuple[OverviewLine, ...] = ()
        self._here = -1
        self._timer: Timer | None = None
        self._is_dragging = False

    def on_mount(self) -> None:
        """Follow the grid."""
        self._grid.drawn.subscribe(self, lambda _: self._follow())

    def on_unmount(self) -> None:
        """Leave nothing that comes later."""
        if self._timer is not None:
            self._timer.stop()

    def _follow(self) -> None:
        """Show the cursor at once, and the rest when the fingers rest: it counts every tensor."""
        here = self._line_of_cursor()
        if here != self._here:
            before, self._here = self._here, here
            for y in (before, here):
                self.refresh(Region(0, y + HEADER_LINES, self.size.width, 1))
        if self._timer is None:
            self._timer = self.set_timer(_DELAY, self._count)

    def _count(self) -> None:
        self._timer = None
        grid = self._grid
        rows, height = grid.rows_and_columns.rows, grid.size.height - HEADER_LINES
        scores = grid.importance if self._shows_scores else None
        lines = overview_lines(grid.plan, rows, height, scores) if grid.plan else ()
        if lines == self._lines:
            return
        is_other = len(lines) != len(self._lines) or bool(self._lines) is not self.has_class("-deep")
        self._lines = lines
        self._here = self._line_of_cursor()
        self.set_class(bool(lines), "-deep")
        self.refresh(layout=is_other or self.size.width != self._width)

    def notify_style_update(self) -> None:
        """Draw in the new theme."""
        super().notify_style_update()
        self.refresh()

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """A cell for the types, and one for the scores."""
        return self._width

    @property
    def _width(self) -> int:
        return 2 if any(line.level for line in self._lines) else 1

    @property
    def _shows_scores(self) -> bool:
        return self._grid.importance is not None and GridFact.SCORE in self._grid.facts

    def _line_of_cursor(self) -> int:
        row = self._grid.selection.row
        return next((y for y, line in enumerate(self._lines) if row in line.rows), -1)

    def render_line(self, y: int) -> Strip:
        """A line, or the blanks beside the grid's header."""
        index, width = y - HEADER_LINES, self.size.width
        if not 0 <= index < len(self._lines):
            return Strip.blank(width, self.rich_style)
        line = self._lines[index]
        segments = [self._type_of(line, index == self._here)]
        if width > 1:
            estimates = self._grid.importance is not None and self._grid.importance.kind.is_estimate
            style = self._grid.get_component_rich_style(height_style(line.level, estimates))
            segments.append(Segment(height_glyph(line.level, estimates), style))
        return Strip(segments)

    def _type_of(self, line: OverviewLine, is_here: bool) -> Segment:
        if is_here:
            return Segment("▶", self._grid.get_component_rich_style("layer-grid--cursor"))
        if line.type is None:
            return Segment("·", self._grid.get_component_rich_style("layer-grid--dim"))
        style = TypeStyles(self.app)[line.type].plain
        return Segment(code_of(line.type)[0], style + Style(underline=line.is_mixed))

    # -- the mouse ----------------------------------------------------------------------------------

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Go to the blocks of the line, and on with the mouse."""
        self._is_dragging = True
        self.capture_mouse()
        self._go_to(event.y)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Go along."""
        if self._is_dragging:
            self._go_to(event.y)

    def on_mouse_up(self) -> None:
        """Stay here."""
        if self._is_dragging:
            self._is_dragging = False
            self.release_mouse()
            self._grid.focus()

    def _go_to(self, y: int) -> None:
        if self._lines:
            line = self._lines[min(max(y - HEADER_LINES, 0), len(self._lines) - 1)]
            grid = self._grid
            if grid.selection.row not in line.rows:
                grid.select(grid.selection.cleared().moved(line.rows.start - grid.selection.row, 0))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel scrolls the layers here too."""
        self._grid.scroll_relative(y=3, animate=False)
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel scrolls the layers here too."""
        self._grid.scroll_relative(y=-3, animate=False)
        event.stop()
