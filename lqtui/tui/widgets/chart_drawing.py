"""The trade-off chart as plotext draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.text import Text
from textual.content import Content

from lqtui.tui.widgets.chart_axes import x_range, y_axis
from lqtui.tui.widgets.chart_layout import Axis, Labels, Placed, frontier, line_cells
from lqtui.tui.widgets.chart_pane import PlotColor
from lqtui.tui.widgets.chart_scene import Point, Scene, errors_fit, near_and_far
from lqtui.tui.widgets.chart_view import View
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.quantities import MIB, size

if TYPE_CHECKING:
    from textual_plotext import Plot

_APART = 3
"""Columns from one hollow mark of a frontier to the next, at least."""


class Drawing:
    """One drawing of a scene, or of a `view` of it, on a plotext figure."""

    def __init__(
        self,
        plot: Plot,
        scene: Scene,
        width: int,
        height: int,
        colors: Mapping[str, PlotColor],
        view: View | None = None,
    ) -> None:
        self.plot = plot
        self.scene = scene
        self.colors = colors
        self.size = (width, height)
        self.near, self.far = near_and_far(scene)
        canvas_height = height - 2  # the axis and its numbers
        self.upright = self.y = y_axis(scene, self.near, canvas_height)
        self.whole = View(x_range(self.near, scene), (self.y.low, self.y.high))
        self.view = view or self.whole
        if view is not None:
            self.near, self.far = sorted(scene.points, key=lambda point: point.x), []
            self.y = replace(self.y, low=view.y[0], high=view.y[1])
        self._in_sight = [point for point in self.near if view is None or view.has(self.place(point))]
        self.y_ticks = self.y.ticks(2)
        if scene.metric is Metric.KLD and not any(scene.heights):  # the base alone spans no range
            self.y_ticks = [(0.0, "0")]
        canvas_width = width - 1 - max(len(label) for _, label in self.y_ticks)
        self.x = Axis(*self.view.x, canvas_width)
        self.labels = Labels(canvas_width, canvas_height)
        self.bars = self._error_bars()

    def content(self) -> Content:
        """The finished drawing."""
        self._set_up()
        self._draw_broken()
        self._draw_far()
        self._draw_frontier()
        self._draw_forecasts()
        for cells in self.bars:
            self._marks(cells, "│", "error")
            self.labels.block(cells)
        self._draw_others()
        if self.scene.current_forecast is not None:
            self._draw_forecast_of_current()
        elif self.scene.current_name and not self.scene.current_is_measured:
            self._draw_prediction()
        self._draw_points()
        if (place := self.place_of_forecast) is not None:  # above what lies in the same place
            self._marks([place], "◇", "current")
        return Content.from_rich_text(Text.from_ansi(self.plot.build()))

    def legend(self, room: int) -> str:
        """What the marks mean, as much of it as there is room for."""
        scene = self.scene
        told = "predicted" if scene.current_forecast is not None else scene.current_lacks
        current = "◆ this recipe" if scene.current_is_measured else f"◇ this recipe, {told}"
        fitted_on = any(forecast.measured is not None for forecast in scene.forecasts)
        parts = [
            "● measured",
            *(["◉ where fitted"] if fitted_on else []),
            *(["○ predicted"] if scene.forecasts else []),
            current,
        ]
        if any(point.partial for point in self.scene.points):
            parts.insert(1, "◐ not all chunks yet")
        if self.scene.others:
            parts.append(f"{' '.join(other.letter for other in self.scene.others)} other slots")
        if self.bars:
            parts.append(f"│ ±1 {self.scene.errors_are}")
        elif not errors_fit(self._in_sight):
            parts.append("± too wide to draw")
        while len(parts) > 1 and len("  ".join(parts)) > room:
            parts.pop()
        return "  ".join(parts)

    def _color(self, part: str) -> PlotColor:
        return self.colors[f"tradeoff--{part}"]

    def _set_up(self) -> None:
        plot = self.plot
        plot.clear_figure()
        plot.plotsize(*self.size)
        plot._set_size(*self.size)  # as PlotextPlot does: plotsize alone is bound to the terminal's size
        plot.theme("clear")
        plot.ticks_color(self._color("axis"))
        plot.xaxes(True, False)
        plot.yaxes(True, False)
        plot.xlim(self.x.low, self.x.high)
        plot.ylim(self.y.low, self.y.high)
        x_ticks = self.x.ticks(10)
        if x_ticks:
            x_ticks[0] = x_ticks[0][0], f"{x_ticks[0][1]} MiB"
        plot.xticks([place for place, _ in x_ticks], [label for _, label in x_ticks])
        plot.yticks([place for place, _ in self.y_ticks], [label for _, label in self.y_ticks])

    def _marks(self, cells: Sequence[tuple[int, int]], marker: str, part: str) -> None:
        cells = [(x, y) for x, y in cells if 0 <= x < self.x.cells and 0 <= y < self.y.cells]
        if cells:
            xs = [self.x.coordinate(column) for column, _ in cells]
            ys = [self.y.coordinate(row) for _, row in cells]
            self.plot.scatter(xs, ys, marker=marker, color=self._color(part))

    def _text(self, text: str, column: int, row: int, part: str) -> None:
        x, y = self.x.coordinate(column), self.y.coordinate(row)
        self.plot.text(text, x, y, color=self._color(part), alignment="left")

    def _draw_broken(self) -> None:
        """Recipes without a place on the axis, in words at the top."""
        if self.scene.broken:
            row = self.y.cells - 1
            text = f"✗ {', '.join(self.scene.broken)}: broken"
            if len(text) > self.x.cells:
                text = f"✗ {len(self.scene.broken)} recipes break the model"[: self.x.cells]
            start = self.x.cells - len(text)
            self._text(text, start, row, "broken")
            self.labels.block((column, row) for column in range(start, self.x.cells))

    def _draw_far(self) -> None:
        """Much larger files, such as the base model: their quality as a level, their size in words."""
        levels: dict[int, list[Point]] = {}
        for point in sorted(self.far, key=lambda point: point.digest != self.scene.current_digest):
            levels.setdefault(self.y.cell(point.y), []).append(point)
        for row, points in levels.items():
            columns = [(column, row) for column in range(0, self.x.cells, 2)]
            self._marks(columns, "╌", "axis")
            wordings = _far_wordings(points)
            text = next((text for text in wordings if len(text) <= self.x.cells), wordings[-1])
            text = text[: self.x.cells]
            start = self.x.cells - len(text)
            is_current = points[0].digest == self.scene.current_digest
            line = self._clear_of_points(start, row)
            self._text(text, start, line, "current" if is_current else "label")
            self.labels.block((column, line) for column in range(start, self.x.cells))

    def _clear_of_points(self, start: int, row: int) -> int:
        """The row next to one in which no point lies from a column on; the row itself where there is none."""
        taken = {
            line for column, line in map(self.cell, map(self.place, self._in_sight)) if column >= start - 1
        }
        near = (row + aside for aside in (0, 1, -1, 2, -2))
        return next((line for line in near if 0 <= line < self.y.cells and line not in taken), row)

    @property
    def _best(self) -> list[Point]:
        """The whole results that none beats: none is both smaller and better."""
        sign = -1 if self.scene.metric.more_is_better else 1
        whole = [point for point in self.near if not point.partial]
        best = set(frontier((point.x, sign * point.y) for point in whole))
        return sorted((p for p in whole if (p.x, sign * p.y) in best), key=lambda point: point.x)

    def _draw_frontier(self) -> None:
        best = self._best
        if len(best) > 1:
            xs, ys = [point.x for point in best], [self.upright.place(point.y) for point in best]
            self.plot.plot(xs, ys, marker="braille", color=self._color("frontier"))
            cells = [self.cell(self.place(point)) for point in best]
            for start, end in pairwise(cells):
                self.labels.block(line_cells(start, end))

    def _error_bars(self) -> list[list[tuple[int, int]]]:
        """The cells of bars that reach a cell away from their points; none where they would hide the rest."""
        if not errors_fit(self._in_sight):
            return []
        bars = []
        for point in self._in_sight:
            column, row = self.x.cell(point.x), self.y.cell(point.y)
            below = self.y.cells_between(point.y - point.error, point.y)
            above = self.y.cells_between(point.y, point.y + point.error)
            if below or above:
                rows = range(max(0, row - below), min(self.y.cells - 1, row + above) + 1)
                bars.append([(column, line) for line in rows])
        return bars

    def _draw_forecasts(self) -> None:
        """The predicted frontier as hollow marks with room between them; solid where it was measured."""
        taken: dict[int, tuple[int, int]] = {}
        for forecast in self.scene.forecasts:
            column = self.x.cell(forecast.x)
            if self.sees(forecast.x, forecast.y) and all(
                near not in taken for near in range(column - _APART + 1, column + _APART)
            ):
                taken[column] = (column, self.y.cell(forecast.y))
        self._marks(list(taken.values()), "○", "forecast")
        self.labels.block(taken.values())
        measured = [
            (self.x.cell(forecast.x), self.y.cell(forecast.measured))
            for forecast in self.scene.forecasts
            if forecast.measured is not None and self.sees(forecast.x, forecast.measured)
        ]
        self._marks(measured, "◉", "forecast")
        self.labels.block(measured)
        knee = next((forecast for forecast in self.scene.forecasts if forecast.is_knee), None)
        if knee is not None and self.sees(knee.x, knee.y):
            cell = self.x.cell(knee.x), self.y.cell(knee.y)
            self._marks([cell], "○", "knee")
            self.labels.block([cell])
            if placed := self.labels.place([f"knee {size(int(knee.x * MIB))}", "knee"], *cell):
                self._text(*placed, "knee")

    def _draw_forecast_of_current(self) -> None:
        """The recipe in the grid before it is measured, at its predicted KLD."""
        cell = self.place_of_forecast
        if cell is None:
            return
        self.labels.block([cell])
        if placed := self.labels.place([f"{self.scene.current_name} predicted", "predicted"], *cell):
            self._text(*placed, "current")

    @property
    def place_of_forecast(self) -> tuple[int, int] | None:
        """The cell of the current recipe's predicted KLD; None where there is none, or it is out of sight."""
        kld, place = self.scene.current_forecast, self.scene.current_size
        if kld is None or (self.view != self.whole and not self.sees(place, kld)):
            return None
        return min(self.x.cell(place), self.x.cells - 1), self.y.cell(kld)

    def _draw_others(self) -> None:
        """The recipes in other slots that have no point: their letters, at their sizes."""
        measured = {point.digest for point in self.scene.points}
        for other in self.scene.others:
            cell = self.x.cell(other.x), 0
            if other.digest not in measured and other.digest != self.scene.current_digest:
                self._marks([cell], other.letter, "other")
                self.labels.block([cell])

    def _draw_prediction(self) -> None:
        """The recipe in the grid before it is measured, and with nothing predicted: its size is known."""
        top = self.y.cells - 1 - bool(self.scene.broken)
        column = self.x.cell(self.scene.current_size)
        if self.view != self.whole and not 0 <= column < self.x.cells:
            return
        beyond = column >= self.x.cells
        column = min(column, self.x.cells - 1)
        mark = "◇" if not beyond else "→"
        self._marks([(column, row) for row in range(top)], "┊", "current")
        self._marks([(column, top)], mark, "current")
        self.labels.block((column, row) for row in range(top + 1))
        lacks = self.scene.current_lacks
        texts = [f"this recipe, {lacks}", lacks]
        if all(point.name != self.scene.current_name for point in self.scene.points):
            texts.insert(0, f"{self.scene.current_name} {lacks}")
        if placed := self.labels.place(texts, column, top):
            self._text(*placed, "current")

    def _draw_points(self) -> None:
        best = {point.digest for point in self._best}

        def rank(point: Point) -> tuple[bool, bool]:
            return point.digest == self.scene.current_digest, point.digest in best

        cells: dict[tuple[int, int], list[Point]] = {}
        for point in sorted(self._in_sight, key=rank, reverse=True):
            cells.setdefault(self.cell(self.place(point)), []).append(point)
        self.labels.block(cells)
        self.labels.points.update(cells)
        names = self._names(cells)
        for cell, (first, *_) in cells.items():
            marker, part = self.look(first)
            self._marks([cell], marker, part)
            if (placed := names.get(cell)) is not None:
                self._text(*placed, "label" if part == "point" else part)

    def _names(self, cells: Mapping[tuple[int, int], Sequence[Point]]) -> dict[tuple[int, int], Placed]:
        """Where the names go: in full if that leaves out none that short ones have room for."""
        attempts = []
        for wording in (_name, _short_name):
            labels = self.labels.copy()
            wordings = {cell: wording(*points) for cell, points in cells.items()}
            placed = {cell: labels.place([text], *cell) for cell, text in wordings.items()}
            attempts.append({cell: place for cell, place in placed.items() if place is not None})
        return max(attempts, key=len)

    def look(self, point: Point) -> tuple[str, str]:
        """A point's mark, and the part that it has its colour from."""
        if point.digest == self.scene.current_digest:
            return "◐" if point.partial else "◆", "current"
        other = next((other for other in self.scene.others if other.digest == point.digest), None)
        if other is not None:
            return other.letter, "other"
        return ("◐", "partial") if point.partial else ("●", "point")

    # Where things are.

    def place(self, point: Point) -> tuple[float, float]:
        """A point's place in the axes' coordinates, in sight or not."""
        return point.x, self.upright.place(point.y)

    def cell(self, place: tuple[float, float]) -> tuple[int, int]:
        """The column and row of a place, in sight or not; rows count from the bottom."""
        shares = (place[1] - self.y.low) / (self.y.high - self.y.low)
        return self.x.cell(place[0]), math.floor(round(0.5 + (self.y.cells - 1) * shares, 8))

    def sees(self, x: float, y: float) -> bool:
        """Whether a size and a quality are in sight."""
        return self.view.has((x, self.upright.place(y)))

    def place_at(self, column: int, line: int) -> tuple[float, float]:
        """The place under a cell, by its column and line from the upper left."""
        left = self.size[0] - self.x.cells
        return self.x.coordinate(column - left), self.y.coordinate(self.y.cells - 1 - line)


def _far_wordings(points: Sequence[Point]) -> list[str]:
    """What is said of files beyond the edge whose quality is about the same, from long to short."""
    first, *others = points
    place = size(int(first.x * MIB))
    more = f" +{len(others)}" if others else ""
    each = [f"{point.name} {point.said} at {size(int(point.x * MIB))}" for point in points]
    return [
        f" {', '.join(each)} → ",
        f" {', '.join(f'{point.name} {point.said}' for point in points)} → ",
        f" {first.name} {first.said} at {place}{more} → ",
        f" {first.name}{more} → ",
    ]


def _name(point: Point, *hidden: Point) -> str:
    """A point's name, and how many lie under it."""
    return f"{point.name} +{len(hidden)}" if hidden else point.name


def _short_name(point: Point, *hidden: Point) -> str:
    short = point.name.replace("_layers", "").removesuffix("_q8")
    return _name(replace(point, name=short), *hidden)
