"""The trade-off: file size against KLD, perplexity or speed, one point a measured recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual_plotext import PlotextPlot

from lqtui.tui.widgets.chart_drawing import Drawing, PlotColor
from lqtui.tui.widgets.chart_scene import Scene, scene_of
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.quantities import MIB, size

if TYPE_CHECKING:
    from lqtui.recipe.recipe import Plan
    from lqtui.workbench import FrontierPoint, Result

_LEAST_WIDTH, _LEAST_HEIGHT = 24, 6
_TITLE_ENDS = 2
"""Columns of a pane's inside that its title leaves to the border."""


class TradeoffChart(Widget):
    """Measured recipes as solid points with their frontier; the recipe in the grid is marked.

    What is predicted has hollow marks. A recipe of which nothing is has no quality: it is a dashed line at
    its size.
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
        "tradeoff--broken",
        "tradeoff--forecast",
        "tradeoff--knee",
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
        .tradeoff--broken { color: $text-error; }
        .tradeoff--forecast { color: $text-secondary; }
        .tradeoff--knee { color: $text-accent; }

        &:ansi {
            border: round ansi_bright_black;
            .tradeoff--axis { color: ansi_bright_black; }
            .tradeoff--error { color: ansi_bright_black; }
            .tradeoff--label { color: ansi_default; }
            .tradeoff--point { color: ansi_blue; }
            .tradeoff--forecast { color: ansi_cyan; }
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
        self,
        results: Sequence[Result],
        current: Plan | None,
        selected_digest: str | None = None,
        metric: Metric = Metric.KLD,
        frontier: Sequence[FrontierPoint] = (),
        predicted: float | None = None,
    ) -> None:
        """Show results and the recipe in the grid; `selected_digest` is the recipe to point out.

        `frontier` is what is predicted of the best recipe of each size, and `predicted` of the recipe in the
        grid.
        """
        scene = scene_of(results, current, selected_digest, metric, frontier, predicted)
        axis = (
            metric.described.replace(" in nats", " in nats, log")
            if scene.is_logarithmic
            else metric.described
        )
        titles = [
            f"{self.BORDER_TITLE} · {said} · c {metric.next}" for said in (axis, axis.replace(" in nats", ""))
        ]
        self.border_title = titles[0] if len(titles[0]) <= self.size.width - _TITLE_ENDS else titles[1]
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
        legend = ""
        if not scene.points and not scene.forecasts:
            content = _centred(_invitation(scene), width, height)
        elif width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
            content = _centred(["too small for a chart"], width, height)
        else:
            drawing = Drawing(self.plt, scene, width, height, colors)
            content, legend = drawing.content(), drawing.legend()
        self._drawn = (state, content)
        self._chart.border_subtitle = legend
        return content


def _invitation(scene: Scene) -> list[str]:
    said = [f"No {scene.metric} measured yet."]
    if scene.broken:
        said.append(f"✗ {', '.join(scene.broken)}: broken")
    elif scene.current_name:
        said.append(f"{scene.current_name} will be {size(int(scene.current_size * MIB))}.")
    return [*said, "", "r  measure this recipe", "s  measure all presets"]


def _centred(lines: list[str], width: int, height: int) -> Content:
    longest = max(len(line) for line in lines)
    left = max(0, (width - longest) // 2)
    above = max(0, (height - len(lines)) // 2)
    body = "\n".join((" " * left + line)[:width] for line in lines)
    return Content.assemble("\n" * above, (body, "dim"))
