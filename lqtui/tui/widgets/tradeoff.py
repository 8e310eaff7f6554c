"""The trade-off: file size against perplexity, one point a measured recipe."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual_plotext import PlotextPlot
from textual_plotext.plot import Plot

from lqtui.tui.widgets.chart_layout import Axis, Labels, frontier, line_cells, padded
from lqtui.tui.widgets.chart_scene import FAR, Point, Scene, errors_fit, near_and_far, scene_of
from lqtui.tui.widgets.quantities import MIB, size

if TYPE_CHECKING:
    from lqtui.recipe.recipe import Plan
    from lqtui.workbench import Result

PlotColor = str | int | tuple[int, int, int]

_LEAST_WIDTH, _LEAST_HEIGHT = 24, 6


class TradeoffChart(Widget):
    """Measured recipes as solid points with their frontier; the recipe in the grid is marked.

    A recipe that is not measured has no perplexity: it is a dashed line at its size with a hollow mark.
    """

    BORDER_TITLE = "size / quality"
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tradeoff--axis",
        "tradeoff--point",
        "tradeoff--partial",
        "tradeoff--frontier",
        "tradeoff--error",
        "tradeoff--label",
        "tradeoff--current",
        "tradeoff--selected",
    }
    DEFAULT_CSS = """
    TradeoffChart {
        height: 1fr;
        border: round $foreground 25%;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 70%;
        padding: 0 1;

        .tradeoff--axis { color: $foreground 50%; }
        .tradeoff--point { color: $text-primary; }
        .tradeoff--partial { color: $text-warning; }
        .tradeoff--frontier { color: $success; }
        .tradeoff--error { color: $foreground 40%; }
        .tradeoff--label { color: $foreground 80%; }
        .tradeoff--current { color: $text-accent; }
        .tradeoff--selected { color: $foreground; }

        &:ansi {
            border: round ansi_bright_black;
            .tradeoff--axis { color: ansi_bright_black; }
            .tradeoff--error { color: ansi_bright_black; }
            .tradeoff--label { color: ansi_default; }
            .tradeoff--point { color: ansi_blue; }
        }
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._canvas = _Canvas(self)
        self.scene = Scene()

    def compose(self) -> ComposeResult:
        """The plot fills the pane."""
        yield self._canvas

    def show(
        self, results: Sequence[Result], current: Plan | None, selected_digest: str | None = None
    ) -> None:
        """Show results and the recipe in the grid; `selected_digest` is the recipe to point out."""
        scene = scene_of(results, current, selected_digest)
        if scene != self.scene:
            self.scene = scene
            self._canvas.refresh()

    def color_of(self, component: str) -> PlotColor:
        """A component's colour as plotext takes it; the terminal's own colours stay what they are."""
        color = self.get_component_styles(component).color
        if color.ansi is not None:
            return "default" if color.ansi < 0 else color.ansi
        return (self.background_colors[1] + color).rgb


class _Canvas(PlotextPlot):
    """The plot itself, drawn again only where the scene, the size or the colours differ."""

    def __init__(self, chart: TradeoffChart) -> None:
        super().__init__()
        self._chart = chart
        self._drawn: tuple[object, Content] | None = None

    def render(self) -> Content:
        """The chart, or what to do to get one."""
        scene = self._chart.scene
        width, height = self.size
        colors = {name: self._chart.color_of(name) for name in sorted(TradeoffChart.COMPONENT_CLASSES)}
        state = (scene, width, height, tuple(colors.values()))
        if self._drawn is not None and self._drawn[0] == state:
            return self._drawn[1]
        if not scene.points:
            content = _centred(_invitation(scene), width, height)
        elif width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
            content = _centred(["too small for a chart"], width, height)
        else:
            content = _Drawing(self.plt, scene, width, height, colors).content()
        self._drawn = (state, content)
        self._chart.border_subtitle = _legend(scene, width) if scene.points else ""
        return content


class _Drawing:
    """One drawing of a scene on a plotext figure."""

    def __init__(
        self, plot: Plot, scene: Scene, width: int, height: int, colors: dict[str, PlotColor]
    ) -> None:
        self.plot = plot
        self.scene = scene
        self.colors = colors
        self.size = (width, height)
        self.near, self.far = near_and_far(scene)
        self.error_bars = errors_fit(self.near)
        canvas_height = height - 3  # the axis, its numbers, the labels of both
        low, high = _y_range(scene.points, self.near, self.error_bars)
        self.y = Axis(low, high, canvas_height)
        self.y_ticks = self.y.ticks(2)
        canvas_width = width - 1 - max(len(label) for _, label in self.y_ticks)
        self.x = Axis(*_x_range(self.near, scene), canvas_width)
        self.labels = Labels(canvas_width, canvas_height)

    def content(self) -> Content:
        """The finished drawing."""
        self._set_up()
        self._draw_far()
        self._draw_frontier()
        self._draw_error_bars()
        if self.scene.current_name and not self.scene.current_is_measured:
            self._draw_prediction()
        self._draw_points()
        return Content.from_rich_text(Text.from_ansi(self.plot.build()))

    def color(self, part: str) -> PlotColor:
        return self.colors[f"tradeoff--{part}"]

    def _set_up(self) -> None:
        plot = self.plot
        plot.clear_figure()
        plot.plotsize(*self.size)
        plot._set_size(*self.size)  # as PlotextPlot does: plotsize alone is bound to the terminal's size
        plot.theme("clear")
        plot.ticks_color(self.color("axis"))
        plot.xaxes(True, False)
        plot.yaxes(True, False)
        plot.xlim(self.x.low, self.x.high)
        plot.ylim(self.y.low, self.y.high)
        x_ticks = self.x.ticks(10)
        plot.xticks([value for value, _ in x_ticks], [label for _, label in x_ticks])
        plot.yticks([value for value, _ in self.y_ticks], [label for _, label in self.y_ticks])
        plot.xlabel("file size, MiB")
        plot.ylabel("PPL, lower is better")

    def _marks(self, cells: Sequence[tuple[int, int]], marker: str, part: str) -> None:
        if cells:
            xs = [self.x.value(column) for column, _ in cells]
            ys = [self.y.value(row) for _, row in cells]
            self.plot.scatter(xs, ys, marker=marker, color=self.color(part))

    def _text(self, text: str, column: int, row: int, part: str) -> None:
        x, y = self.x.value(column), self.y.value(row)
        self.plot.text(text, x, y, color=self.color(part), alignment="left")

    def _draw_far(self) -> None:
        """A much larger file, such as the base model: its perplexity as a level, its size in words."""
        for point in self.far:
            row = self.y.cell(point.y)
            columns = [(column, row) for column in range(0, self.x.cells, 2)]
            self._marks(columns, "╌", "axis")
            text = f" {point.name} {point.y:.2f} at {size(int(point.x * MIB))} → "[-self.x.cells :]
            start = self.x.cells - len(text)
            is_current = point.digest == self.scene.current_digest
            self._text(text, start, row, "current" if is_current else "label")
            self.labels.block((column, row) for column in range(start, self.x.cells))

    def _draw_frontier(self) -> None:
        best = frontier((point.x, point.y) for point in self.near if not point.partial)
        if len(best) > 1:
            xs, ys = [x for x, _ in best], [y for _, y in best]
            self.plot.plot(xs, ys, marker="braille", color=self.color("frontier"))
            cells = [(self.x.cell(x), self.y.cell(y)) for x, y in best]
            for start, end in pairwise(cells):
                self.labels.block(line_cells(start, end))

    def _draw_error_bars(self) -> None:
        if not self.error_bars:
            return
        for point in self.near:
            column = self.x.cell(point.x)
            rows = range(self.y.cell(point.y - point.error), self.y.cell(point.y + point.error) + 1)
            cells = [(column, row) for row in rows if 0 <= row < self.y.cells]
            if len(cells) > 1:
                self._marks(cells, "│", "error")
                self.labels.block(cells)

    def _draw_prediction(self) -> None:
        """The recipe in the grid before it is measured: only its size is known."""
        top = self.y.cells - 1
        column = self.x.cell(self.scene.current_size)
        beyond = column >= self.x.cells
        column = min(column, self.x.cells - 1)
        mark = "◇" if not beyond else "→"
        self._marks([(column, row) for row in range(top)], "┊", "current")
        self._marks([(column, top)], mark, "current")
        self.labels.block((column, row) for row in range(self.y.cells))
        texts = ["this recipe, not measured", "not measured"]
        if all(point.name != self.scene.current_name for point in self.scene.points):
            texts.insert(0, f"{self.scene.current_name} not measured")
        if placed := self.labels.place(texts, column, top):
            self._text(*placed, "current")

    def _draw_points(self) -> None:
        best = set(frontier((point.x, point.y) for point in self.near if not point.partial))

        def rank(point: Point) -> tuple[bool, bool, bool]:
            return (
                point.digest == self.scene.current_digest,
                point.digest == self.scene.selected_digest,
                (point.x, point.y) in best,
            )

        cells: dict[tuple[int, int], list[Point]] = {}
        for point in sorted(self.near, key=rank, reverse=True):
            cells.setdefault((self.x.cell(point.x), self.y.cell(point.y)), []).append(point)
        self.labels.block(cells)
        self.labels.points.update(cells)
        for cell, (first, *others) in cells.items():
            marker, part = self._look(first)
            self._marks([cell], marker, part)
            placed = self.labels.place(_wordings(first, len(others)), *cell)
            if placed is not None:
                self._text(*placed, "label" if part == "point" else part)

    def _look(self, point: Point) -> tuple[str, str]:
        if point.digest == self.scene.current_digest:
            return "◐" if point.partial else "◆", "current"
        if point.partial:
            return "◐", "partial"
        if point.digest == self.scene.selected_digest:
            return "◉", "selected"
        return "●", "point"


def _y_range(points: Sequence[Point], near: list[Point], error_bars: bool) -> tuple[float, float]:
    reach = [p.error if error_bars else 0.0 for p in near]
    low = min(*(p.y for p in points), *(p.y - e for p, e in zip(near, reach, strict=True)), float("inf"))
    high = max(*(p.y for p in points), *(p.y + e for p, e in zip(near, reach, strict=True)), float("-inf"))
    return padded(low, high, 0.12, least=high * 0.01)


def _x_range(near: list[Point], scene: Scene) -> tuple[float, float]:
    low, high = min(point.x for point in near), max(point.x for point in near)
    current = scene.current_size
    if current:
        low = min(low, current)
        high = max(high, current) if current <= FAR * high else high
    return padded(low, high, 0.06, least=high * 0.05)


def _wordings(point: Point, hidden: int) -> list[str]:
    """A point's name, also shorter; `hidden` points lie under it."""
    short = point.name.removesuffix("_q8").replace("_layers", "")
    more = f" +{hidden}" if hidden else ""
    return list(dict.fromkeys([point.name + more, short + more]))


def _legend(scene: Scene, width: int) -> str:
    parts = ["● measured", "◆ this recipe" if scene.current_is_measured else "◇ this recipe, not measured"]
    if any(point.partial for point in scene.points):
        parts.append("◐ not all chunks yet")
    near, _ = near_and_far(scene)
    if any(point.error for point in near):
        bars = "│ ±1 paired SE" if scene.paired else "│ ±1 SE"
        parts.append(bars if errors_fit(near) else "± too wide to draw")
    while len(parts) > 1 and len("  ".join(parts)) > width - 2:
        parts.pop()
    return "  ".join(parts)


def _invitation(scene: Scene) -> list[str]:
    said = ["No measurement yet."]
    if scene.current_name:
        said.append(f"{scene.current_name} will be {size(int(scene.current_size * MIB))}.")
    return [*said, "", "r  measure this recipe", "s  measure all presets"]


def _centred(lines: list[str], width: int, height: int) -> Content:
    longest = max(len(line) for line in lines)
    left = max(0, (width - longest) // 2)
    above = max(0, (height - len(lines)) // 2)
    body = "\n".join((" " * left + line)[:width] for line in lines)
    return Content.assemble("\n" * above, (body, "dim"))
