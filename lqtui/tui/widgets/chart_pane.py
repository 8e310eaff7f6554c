"""A pane with one chart: when it is drawn, and in which colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual_plotext import PlotextPlot
from textual_plotext.plot import Plot

PlotColor = str | int | tuple[int, int, int]
"""A colour as plotext takes it."""

_LEAST_WIDTH, _LEAST_HEIGHT = 24, 6


class ChartPane(Widget):
    """A chart that plotext draws, anew only where what it shows, its size or its colours differ.

    What it shows is its `scene`; the colours are those of its component classes.
    """

    scene: object = None

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._canvas = _Canvas(self)

    def compose(self) -> ComposeResult:
        """The plot fills the pane."""
        yield self._canvas

    def show_scene(self, scene: object) -> None:
        """Show something else, where it is something else."""
        if scene != self.scene:
            self.scene = scene
            self._canvas.refresh()

    def invitation(self) -> Sequence[str]:
        """What is said in place of a chart where there is nothing to draw; nothing where there is."""
        raise NotImplementedError

    def draw(self, plot: Plot, width: int, height: int, colors: Mapping[str, PlotColor]) -> Content:
        """The drawing of the scene."""
        raise NotImplementedError

    def content(self, plot: Plot, width: int, height: int, colors: Mapping[str, PlotColor]) -> Content:
        """The chart, or what to do to get one."""
        if invitation := self.invitation():
            return _centred(invitation, width, height)
        if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
            return _centred(["too small for a chart"], width, height)
        return self.draw(plot, width, height, colors)

    def color_of(self, component: str) -> PlotColor:
        """A component's colour as plotext takes it; the terminal's own colours stay what they are."""
        color = self.get_component_styles(component).color
        if color.ansi is not None:
            return "default" if color.ansi < 0 else color.ansi
        return (self.background_colors[1] + color).rgb


class _Canvas(PlotextPlot):
    """The plot itself."""

    def __init__(self, pane: ChartPane) -> None:
        super().__init__()
        self._pane = pane
        self._drawn: tuple[object, Content] | None = None

    def render(self) -> Content:
        """The drawing, the last one where nothing differs."""
        pane, (width, height) = self._pane, self.size
        colors = {name: pane.color_of(name) for name in sorted(pane.COMPONENT_CLASSES)}
        state = (pane.scene, width, height, tuple(colors.values()))
        if self._drawn is None or self._drawn[0] != state:
            self._drawn = (state, pane.content(self.plt, width, height, colors))
        return self._drawn[1]


def _centred(lines: Sequence[str], width: int, height: int) -> Content:
    longest = max(len(line) for line in lines)
    left = max(0, (width - longest) // 2)
    above = max(0, (height - len(lines)) // 2)
    body = "\n".join((" " * left + line)[:width] for line in lines)
    return Content.assemble("\n" * above, (body, "dim"))
