"""The lowering curves as plotext draws them: the share of quality kept against that of blocks lowered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.text import Text
from textual.content import Content

from lqtui.tui.widgets.chart_layout import Axis, padded
from lqtui.tui.widgets.chart_pane import PlotColor
from lqtui.tui.widgets.chart_spots import Spot
from lqtui.workbench import KEPT, Curve

if TYPE_CHECKING:
    from textual_plotext import Plot

_LEAST_SPAN = 2.0
"""Percent of quality that the upright axis shows at least."""
_LOW = 16
"""Lines of a chart below which its ticks stand close."""
_SIDEWAYS = (0, 1, -1, 2, -2, 3, -3, 4, -4)
"""Where marks of one place go, in columns from it."""


@dataclass(frozen=True)
class Look:
    """How a curve is told from others without colour: its mark, and its component class."""

    mark: str
    component: str


_LOOKS = {
    "measured": Look("●", "curves--measured"),
    "LIM": Look("▲", "curves--lim"),
    "ZD": Look("◆", "curves--zd"),
    "ZD two-sided": Look("◇", "curves--zd-two-sided"),
}
_RANDOM, _PRUNED = Look("○", "curves--random"), Look("✗", "curves--pruned")
LOOKS = (*_LOOKS.values(), _RANDOM, _PRUNED)


def look_of(curve: Curve) -> Look:
    """The look of an order's curve."""
    if curve.is_pruned:
        return _PRUNED
    return _RANDOM if curve.is_random else _LOOKS.get(curve.label, _RANDOM)


class CurvesDrawing:
    """One drawing of curves on a plotext figure; both axes are in percent."""

    def __init__(
        self, plot: Plot, curves: Sequence[Curve], size: tuple[int, int], colors: Mapping[str, PlotColor]
    ) -> None:
        self.plot = plot
        self.size = size
        self.colors = colors
        width, height = size
        self.lines = [_Line.of(curve) for curve in curves if len(curve.points) > 1]
        on_scale = [y for line in self.lines if line.look is not _PRUNED for y in line.reach]
        on_scale = on_scale or [y for line in self.lines for y in line.reach]
        low, high = padded(min(*on_scale, 100 * KEPT), max(on_scale), 0.06, _LEAST_SPAN)
        self.y = Axis(max(0.0, low), high, height - 2)  # the axis and its numbers
        self.y_ticks = [
            (place, f"{label} %") for place, label in self.y.ticks(2 if height < _LOW else 3) if place <= 100
        ]
        canvas_width = width - 1 - max(len(label) for _, label in self.y_ticks)
        self.x = Axis(-2.0, 103.0, canvas_width)
        self.taken: set[tuple[int, int]] = set()
        self._spots: list[Spot] = []

    def content(self) -> Content:
        """The finished drawing; the first curves lie above the later ones."""
        self._set_up()
        level = self.y.cell(100 * KEPT)
        self._marks([(column, level) for column in range(0, self.x.cells, 2)], "╌", "curves--axis")
        for line in reversed(self.lines):
            self._draw_line(line)
        self._write_level(level)
        for line in self.lines:
            self._draw_errors(line)
        for line in self.lines:
            self._draw_marks(line)
        return Content.from_rich_text(Text.from_ansi(self.plot.build()))

    def _set_up(self) -> None:
        plot = self.plot
        plot.clear_figure()
        plot.plotsize(*self.size)
        plot._set_size(*self.size)  # as PlotextPlot does: plotsize alone is bound to the terminal's size
        plot.theme("clear")
        plot.ticks_color(self.colors["curves--axis"])
        plot.xaxes(True, False)
        plot.yaxes(True, False)
        plot.xlim(self.x.low, self.x.high)
        plot.ylim(self.y.low, self.y.high)
        first, *others = [(place, f"{label} %") for place, label in self.x.ticks(10) if 0 <= place <= 100]
        x_ticks = [first, *others]
        plot.xticks([place for place, _ in x_ticks], [label for _, label in x_ticks])
        plot.yticks([place for place, _ in self.y_ticks], [label for _, label in self.y_ticks])

    def _marks(self, cells: Sequence[tuple[int, int]], marker: str, part: str) -> None:
        if cells:
            xs = [self.x.coordinate(column) for column, _ in cells]
            ys = [self.y.coordinate(row) for _, row in cells]
            self.plot.scatter(xs, ys, marker=marker, color=self.colors[part])

    def _draw_line(self, line: _Line) -> None:
        """The curve, as far as it is on the scale; where it leaves that, an arrow."""
        xs, ys = [], []
        left_at: float | None = None
        for (x, y), (next_x, next_y) in pairwise(line.points):
            if y < self.y.low:
                break
            xs.append(x)
            ys.append(y)
            if next_y < self.y.low:
                left_at = x + (next_x - x) * (y - self.y.low) / (y - next_y)
                xs.append(left_at)
                ys.append(self.y.low)
        if left_at is None:
            xs.append(line.points[-1][0])
            ys.append(line.points[-1][1])
        self.plot.plot(xs, ys, marker="braille", color=self.colors[line.look.component])
        if left_at is not None:
            cell = self.x.cell(left_at), 0
            self._marks([cell], "↓", line.look.component)
            self.taken.add(cell)

    def _write_level(self, level: int) -> None:
        """What the dashed line is, at its end, where curves have left it."""
        text = f" {100 * KEPT:.0f} % kept "
        start = self.x.cells - len(text)
        crossed = any(
            y >= 100 * KEPT for line in self.lines for x, y in line.points if self.x.cell(x) > start
        )
        row = level - 1 if crossed and level else level
        self.plot.text(
            text,
            self.x.coordinate(start),
            self.y.coordinate(row),
            color=self.colors["curves--label"],
            alignment="left",
        )

    def _draw_errors(self, line: _Line) -> None:
        """The deviation between random orders, where it reaches a cell away."""
        for (x, y), sd in zip(line.points, line.sds, strict=True):
            low, high = (self.y.cell(max(self.y.low, min(self.y.high, end))) for end in (y - sd, y + sd))
            if y + sd >= self.y.low and high > low:
                self._marks([(self.x.cell(x), row) for row in range(low, high + 1)], "│", "curves--random")

    def _draw_marks(self, line: _Line) -> None:
        """A mark for each point but the first, which all share; beside others of the same place."""
        cells = []
        for number, (x, y) in enumerate(line.points[1:], 1):
            if y < self.y.low:
                break
            column, row = self.x.cell(x), self.y.cell(y)
            places = [(column + aside, row) for aside in _SIDEWAYS if 0 <= column + aside < self.x.cells]
            cell = next((place for place in places if place not in self.taken), None)
            if cell is not None:
                cells.append(cell)
                self.taken.add(cell)
            self._spots.append(self._spot(line, number, cell or (column, row)))
        self._marks(cells, line.look.mark, line.look.component)

    def _spot(self, line: _Line, number: int, cell: tuple[int, int]) -> Spot:
        (x, y), sd = line.points[number], line.sds[number]
        seen = self.size[0] - self.x.cells + cell[0], self.y.cells - 1 - cell[1]
        kept = f"{y:.1f} ±{sd:.1f} %" if sd else f"{y:.1f} %"
        says = f"{line.label} · {x:.0f} % lowered · {kept} kept", f"{kept} kept", kept
        return Spot((line.label, number), (x, y), seen, line.look.mark, says, line.label)

    @property
    def spots(self) -> tuple[Spot, ...]:
        """The marks, once they are drawn."""
        return tuple(self._spots)


@dataclass(frozen=True)
class _Line:
    """A curve in percent."""

    label: str
    look: Look
    points: tuple[tuple[float, float], ...]
    sds: tuple[float, ...]

    @classmethod
    def of(cls, curve: Curve) -> _Line:
        points = tuple((100 * point.share, 100 * point.kept) for point in curve.points)
        return cls(curve.label, look_of(curve), points, tuple(100 * point.sd for point in curve.points))

    @property
    def reach(self) -> list[float]:
        """The lowest and the highest that is drawn of it."""
        ends = [(y - sd, y + sd) for (_, y), sd in zip(self.points, self.sds, strict=True)]
        return [min(low for low, _ in ends), max(high for _, high in ends)]
