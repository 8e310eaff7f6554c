"""The trade-off: file size against KLD, perplexity or speed, one point a measured recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual_plotext.plot import Plot

from lqtui.tui.widgets.chart_drawing import Drawing
from lqtui.tui.widgets.chart_pane import ChartPane, PlotColor
from lqtui.tui.widgets.chart_scene import Scene, scene_of
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.quantities import MIB, size

if TYPE_CHECKING:
    from lqtui.recipe.recipe import Plan
    from lqtui.workbench import FrontierPoint, Result

_TITLE_ENDS = 2
"""Columns of a pane's inside that its title leaves to the border."""


class TradeoffChart(ChartPane):
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

    scene: Scene = Scene()

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
        self.show_scene(scene)

    def invitation(self) -> Sequence[str]:
        """What to do to get a chart."""
        self.border_subtitle = ""
        return () if self.scene.points or self.scene.forecasts else _invitation(self.scene)

    def draw(self, plot: Plot, width: int, height: int, colors: Mapping[str, PlotColor]) -> Content:
        """The trade-off, and under it what the marks mean."""
        drawing = Drawing(plot, self.scene, width, height, colors)
        content = drawing.content()
        self.border_subtitle = drawing.legend()
        return content


def _invitation(scene: Scene) -> list[str]:
    said = [f"No {scene.metric} measured yet."]
    if scene.broken:
        said.append(f"✗ {', '.join(scene.broken)}: broken")
    elif scene.current_name:
        said.append(f"{scene.current_name} will be {size(int(scene.current_size * MIB))}.")
    return [*said, "", "r  measure this recipe", "s  measure all presets"]
