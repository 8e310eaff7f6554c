"""The trade-off: file size against KLD, perplexity or speed, one point a measured recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType

from lqtui.tui.keys.panes import CHART_COMMANDS
from lqtui.tui.keys.shown import with_keys
from lqtui.tui.widgets.border_words import set_border_words
from lqtui.tui.widgets.chart_drawing import Drawing
from lqtui.tui.widgets.chart_pane import ChartPane, Drawn, PlotColor
from lqtui.tui.widgets.chart_points import CURRENT, spots_of
from lqtui.tui.widgets.chart_scene import Other, Scene, scene_of
from lqtui.tui.widgets.chart_spots import Spot, spot_of
from lqtui.tui.widgets.chart_view import View
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.quantities import MIB, size

if TYPE_CHECKING:
    from textual_plotext import Plot

    from lqtui.recipe.recipe import Plan
    from lqtui.workbench import FrontierPoint, Result

_TITLE_ENDS = 2
"""Columns of a pane's inside that its title leaves to the border."""
_CLOSER = 1.5
"""How many times closer a step of zooming comes."""
_KEYS = "←→ walk · enter use · {chart.closer} {chart.farther} zoom"


class TradeoffChart(ChartPane, can_focus=True):
    """Measured recipes as solid points with their frontier; the recipe in the grid is marked.

    What is predicted has hollow marks. A recipe of which nothing is has no quality: it is a dashed line at
    its size. While the chart has the focus, plus and minus zoom at the point at hand, as the mouse's wheel
    does where it is, and 0 shows the whole again; walking out of sight takes the view along.
    """

    BORDER_TITLE = "size / quality"
    BINDINGS: ClassVar[list[BindingType]] = [command.binding for command in CHART_COMMANDS]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tradeoff--axis",
        "tradeoff--point",
        "tradeoff--partial",
        "tradeoff--frontier",
        "tradeoff--error",
        "tradeoff--label",
        "tradeoff--current",
        "tradeoff--other",
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
        .tradeoff--other { color: $foreground 70%; }
        .tradeoff--broken { color: $text-error; }
        .tradeoff--forecast { color: $text-secondary; }
        .tradeoff--knee { color: $text-accent; }

        &:focus { border: round $primary; border-title-style: bold; }
        &:ansi {
            border: round ansi_bright_black;
            &:focus { border: round $primary; }
            .tradeoff--axis { color: ansi_bright_black; }
            .tradeoff--error { color: ansi_bright_black; }
            .tradeoff--label { color: ansi_default; }
            .tradeoff--other { color: ansi_default; }
            .tradeoff--point { color: ansi_blue; }
            .tradeoff--forecast { color: ansi_cyan; }
        }
    }
    """

    scene: Scene = Scene()

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._view: View | None = None
        self._drawing: Drawing | None = None

    def show(
        self,
        results: Sequence[Result],
        current: Plan | None,
        selected_digest: str | None = None,
        metric: Metric = Metric.KLD,
        frontier: Sequence[FrontierPoint] = (),
        predicted: float | None = None,
        others: Sequence[Other] = (),
    ) -> None:
        """Show results and the recipe in the grid; `selected_digest` is the recipe to point out.

        `frontier` is what is predicted of the best recipe of each size, and `predicted` of the recipe in the
        grid; `others` are the recipes in other slots.
        """
        scene = scene_of(results, current, metric, frontier, predicted, others)
        if metric is not self.scene.metric or scene.is_logarithmic is not self.scene.is_logarithmic:
            self._view = None
        axis = (
            metric.described.replace(" in nats", " in nats, log")
            if scene.is_logarithmic
            else metric.described
        )
        then = with_keys(self, f"{{chart.metric}} {metric.next}")
        said = (axis, axis.replace(" in nats", ""), axis.split(",")[0])
        titles = [f"{self.BORDER_TITLE} · {of_axis} · {then}" for of_axis in said]
        fitting = (title for title in titles if len(title) <= self.size.width - _TITLE_ENDS)
        set_border_words(self, title=next(fitting, titles[-1]))
        self.point_out(selected_digest)
        self.show_scene(scene)

    @property
    def state(self) -> object:
        """What is drawn, and how much of it is in sight."""
        return self.scene, self._view

    def invitation(self) -> Sequence[str]:
        """What to do to get a chart."""
        if self.scene.points or self.scene.forecasts:
            return ()
        self._drawing = None
        set_border_words(self, subtitle="")
        return _invitation(self.scene)

    def draw(self, plot: Plot, width: int, height: int, colors: Mapping[str, PlotColor]) -> Drawn:
        """The trade-off, and under it what the marks mean."""
        self._drawing = Drawing(plot, self.scene, width, height, colors, self._view)
        content = self._drawing.content()
        self._tell_marks()
        return Drawn(content, spots_of(self._drawing))

    def _tell_marks(self) -> None:
        """What the marks mean; while keys walk the points, which they are comes first."""
        if self._drawing is None:
            return
        room = self._drawing.size[0] - _TITLE_ENDS
        keys = ""
        if self.has_focus:
            keys = with_keys(self, f"{_KEYS} · {{chart.whole}} whole" if self._view is not None else _KEYS)
            keys = f"{keys} · "
        legend = self._drawing.legend(room - len(keys))
        said = f"{keys}{legend}"
        set_border_words(self, subtitle=said if len(said) <= room else keys.rstrip(" ·") or legend)

    # Walking and zooming.

    def first_spot(self, spots: Sequence[Spot]) -> Spot:
        """The recipe in the grid, else the smallest file."""
        mine = spot_of(spots, self.scene.current_digest) or spot_of(spots, (CURRENT,))
        return mine or super().first_spot(spots)

    def came_to(self, spot: Spot) -> None:
        """Take the view along, where it is not the whole."""
        if self._view is not None:
            self._view = self._view.with_in_sight(spot.place)

    def action_come_closer(self, steps: int) -> None:
        """Come closer to the point at hand, or go farther away."""
        if self._drawing is not None:
            self._zoom(steps, self._middle(self._drawing.view))

    def _middle(self, view: View) -> tuple[float, float]:
        """The point at hand, or what is in sight next to it: far files are beyond the edge."""
        here = self.at_hand
        if here is not None and view.has(here.place):
            return here.place
        seen = [spot.place for spot in self.spots if view.has(spot.place)]
        aim = here.place if here is not None else (view.x[0], view.y[0])
        middle = (view.x[0] + view.x[1]) / 2, (view.y[0] + view.y[1]) / 2
        return min(seen, key=lambda place: abs(place[0] - aim[0]), default=middle)

    def action_whole(self) -> None:
        """Show all of the chart again."""
        self._show_view(None)

    def scrolled(self, steps: int, column: int, line: int) -> bool:
        """Zoom where the mouse is."""
        if self._drawing is not None:
            self._zoom(steps, self._drawing.place_at(column, line))
        return self._drawing is not None

    def _zoom(self, steps: int, at: tuple[float, float]) -> None:
        if self._drawing is not None:
            self._show_view(self._drawing.view.zoomed(_CLOSER**steps, at, self._drawing.whole))

    def _show_view(self, view: View | None) -> None:
        if view != self._view:
            self._view = view
            self._canvas.refresh()

    def watch_has_focus(self, has_focus: bool) -> None:
        """Tell the keys while they are the chart's."""
        super().watch_has_focus(has_focus)
        self._tell_marks()


def _invitation(scene: Scene) -> list[str]:
    said = [f"No {scene.metric} measured yet."]
    if scene.broken:
        said.append(f"✗ {', '.join(scene.broken)}: broken")
    elif scene.current_name:
        said.append(f"{scene.current_name} will be {size(int(scene.current_size * MIB))}.")
    return [*said, "", "r  measure this recipe", "s  measure all presets"]
