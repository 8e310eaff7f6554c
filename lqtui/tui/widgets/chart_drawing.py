"""The trade-off chart as plotext draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from rich.text import Text
from textual.content import Content
from textual_plotext.plot import Plot

from lqtui.tui.widgets.chart_layout import Axis, Labels, LogAxis, Placed, frontier, line_cells, padded
from lqtui.tui.widgets.chart_pane import PlotColor
from lqtui.tui.widgets.chart_scene import FAR, Point, Scene, errors_fit, near_and_far
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.quantities import MIB, size

_APART = 3
"""Columns from one hollow mark of a frontier to the next, at least."""


class Drawing:
    """One drawing of a scene on a plotext figure."""

    def __init__(
        self, plot: Plot, scene: Scene, width: int, height: int, colors: Mapping[str, PlotColor]
    ) -> None:
        self.plot = plot
        self.scene = scene
        self.colors = colors
        self.size = (width, height)
        self.near, self.far = near_and_far(scene)
        canvas_height = height - 2  # the axis and its numbers
        self.y = _y_axis(scene, self.near, canvas_height)
        self.y_ticks = self.y.ticks(2)
        if scene.metric is Metric.KLD and not any(scene.heights):  # the base alone spans no range
            self.y_ticks = [(0.0, "0")]
        canvas_width = width - 1 - max(len(label) for _, label in self.y_ticks)
        self.x = Axis(*_x_range(self.near, scene), canvas_width)
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
        if self.scene.current_forecast is not None:
            self._draw_forecast_of_current(self.scene.current_forecast)
        elif self.scene.current_name and not self.scene.current_is_measured:
            self._draw_prediction()
        self._draw_points()
        if self.scene.current_forecast is not None:  # above what lies in the same place
            self._marks([self._place_of_current(self.scene.current_forecast)], "◇", "current")
        return Content.from_rich_text(Text.from_ansi(self.plot.build()))

    def legend(self) -> str:
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
        if self.bars:
            parts.append(f"│ ±1 {self.scene.errors_are}")
        elif not errors_fit(self.near):
            parts.append("± too wide to draw")
        while len(parts) > 1 and len("  ".join(parts)) > self.size[0] - 2:
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
        (first, label), *others = self.x.ticks(10)
        x_ticks = [(first, f"{label} MiB"), *others]
        plot.xticks([place for place, _ in x_ticks], [label for _, label in x_ticks])
        plot.yticks([place for place, _ in self.y_ticks], [label for _, label in self.y_ticks])

    def _marks(self, cells: Sequence[tuple[int, int]], marker: str, part: str) -> None:
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
            self._text(text, start, row, "current" if is_current else "label")
            self.labels.block((column, row) for column in range(start, self.x.cells))

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
            xs, ys = [point.x for point in best], [self.y.place(point.y) for point in best]
            self.plot.plot(xs, ys, marker="braille", color=self._color("frontier"))
            cells = [(self.x.cell(point.x), self.y.cell(point.y)) for point in best]
            for start, end in pairwise(cells):
                self.labels.block(line_cells(start, end))

    def _error_bars(self) -> list[list[tuple[int, int]]]:
        """The cells of bars that reach a cell away from their points; none where they would hide the rest."""
        if not errors_fit(self.near):
            return []
        bars = []
        for point in self.near:
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
            if all(near not in taken for near in range(column - _APART + 1, column + _APART)):
                taken[column] = (column, self.y.cell(forecast.y))
        self._marks(list(taken.values()), "○", "forecast")
        self.labels.block(taken.values())
        measured = [
            (self.x.cell(forecast.x), self.y.cell(forecast.measured))
            for forecast in self.scene.forecasts
            if forecast.measured is not None
        ]
        self._marks(measured, "◉", "forecast")
        self.labels.block(measured)
        knee = next((forecast for forecast in self.scene.forecasts if forecast.is_knee), None)
        if knee is not None:
            cell = self.x.cell(knee.x), self.y.cell(knee.y)
            self._marks([cell], "○", "knee")
            self.labels.block([cell])
            if placed := self.labels.place([f"knee {size(int(knee.x * MIB))}", "knee"], *cell):
                self._text(*placed, "knee")

    def _draw_forecast_of_current(self, kld: float) -> None:
        """The recipe in the grid before it is measured, at its predicted KLD."""
        cell = self._place_of_current(kld)
        self.labels.block([cell])
        if placed := self.labels.place([f"{self.scene.current_name} predicted", "predicted"], *cell):
            self._text(*placed, "current")

    def _place_of_current(self, kld: float) -> tuple[int, int]:
        return min(self.x.cell(self.scene.current_size), self.x.cells - 1), self.y.cell(kld)

    def _draw_prediction(self) -> None:
        """The recipe in the grid before it is measured, and with nothing predicted: its size is known."""
        top = self.y.cells - 1 - bool(self.scene.broken)
        column = self.x.cell(self.scene.current_size)
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

        def rank(point: Point) -> tuple[bool, bool, bool]:
            return (
                point.digest == self.scene.current_digest,
                point.digest == self.scene.selected_digest,
                point.digest in best,
            )

        cells: dict[tuple[int, int], list[Point]] = {}
        for point in sorted(self.near, key=rank, reverse=True):
            cells.setdefault((self.x.cell(point.x), self.y.cell(point.y)), []).append(point)
        self.labels.block(cells)
        self.labels.points.update(cells)
        names = self._names(cells)
        for cell, (first, *_) in cells.items():
            marker, part = self._look(first)
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

    def _look(self, point: Point) -> tuple[str, str]:
        if point.digest == self.scene.current_digest:
            return "◐" if point.partial else "◆", "current"
        if point.digest == self.scene.selected_digest:
            return "◐" if point.partial else "◉", "selected"
        return ("◐", "partial") if point.partial else ("●", "point")


def _y_axis(scene: Scene, near: Sequence[Point], cells: int) -> Axis:
    """The upright axis: of KLD from zero, which is the base, or logarithmic; of the others what there is."""
    points = [*scene.points]
    reach = {point.digest: point.error for point in near} if errors_fit(near) else {}
    lows = [point.y - reach.get(point.digest, 0.0) for point in points] + scene.heights
    highs = [point.y + reach.get(point.digest, 0.0) for point in points] + scene.heights
    least = 1e-6 if scene.metric is Metric.KLD else max(highs) * 0.01
    if scene.is_logarithmic:
        low, high = min(y for y in scene.heights if y > 0) / 1.5, max(highs) * 1.5
        if any(point.y <= 0 for point in points):  # the lowest row is theirs alone
            low /= (high / low) ** (1 / max(1, cells - 1))
        return LogAxis.of(low, high, cells)
    low, high = padded(min(lows), max(highs), 0.12, least)
    low = 0.0 if scene.metric is Metric.KLD else max(0.0, low)
    if scene.broken:  # whose names take the uppermost row
        high += (high - low) / max(1, cells - 2)
    elif scene.metric is Metric.TOP1:
        high = min(high, 100 + (high - low) / max(2, cells - 1) / 2)
    return Axis(low, high, cells)


def _x_range(near: Sequence[Point], scene: Scene) -> tuple[float, float]:
    places = [point.x for point in near] + [forecast.x for forecast in scene.forecasts]
    low, high = min(places), max(places)
    current = scene.current_size
    if current:
        low = min(low, current)
        high = max(high, current) if current <= FAR * high else high
    return padded(low, high, 0.06, least=high * 0.05)


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
