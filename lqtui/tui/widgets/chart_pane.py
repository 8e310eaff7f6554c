"""A pane with one chart: when it is drawn, in which colours, and how a person walks its points."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from lqtui.tui.widgets.chart_spots import Spot, above, at_end, beside, spot_of, under

if TYPE_CHECKING:
    from textual_plotext import Plot

PlotColor = str | int | tuple[int, int, int]
"""A colour as plotext takes it."""

_LEAST_WIDTH, _LEAST_HEIGHT = 24, 6
_BESIDE = 1
"""Columns between a point and what is told of it."""


@dataclass(frozen=True)
class Drawn:
    """A drawing, and the points on it that can be walked to."""

    content: Content
    spots: tuple[Spot, ...] = ()


class ChartPane(Widget):
    """A chart that plotext draws, anew only where what it shows, its size or its colours differ.

    What it shows is its `scene`; the colours are those of its component classes. Where it has points to walk,
    and can have the focus, arrows and the mouse walk them, the one at hand is told of beside it, and enter
    chooses it.
    """

    DEFAULT_CSS = """
    ChartPane {
        .chart--here {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: $block-cursor-text-style;
        }
        &:ansi .chart--here { text-style: reverse; background: ansi_default; color: ansi_default; }
    }
    """
    # The ids are those of the layers, so that who remaps these keys does so for both.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "walk(-1, 0)", "Left", show=False, id="grid.left"),
        Binding("right,l", "walk(1, 0)", "Right", show=False, id="grid.right"),
        Binding("up,k", "walk(0, 1)", "Up", show=False, id="grid.up"),
        Binding("down,j", "walk(0, -1)", "Down", show=False, id="grid.down"),
        Binding("home,g", "walk_to_end(False)", "First", show=False, id="grid.first"),
        Binding("end,G", "walk_to_end(True)", "Last", show=False, id="grid.last"),
        Binding("enter", "choose", "Choose", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"chart--here"}

    scene: object = None

    class Walked(Message):
        """Another point is at hand, or under the mouse; or none is any more."""

        def __init__(self, chart: ChartPane, spot: Spot | None) -> None:
            super().__init__()
            self.chart = chart
            self.spot = spot

        def can_replace(self, message: Message) -> bool:
            """Several steps in a row are one."""
            return isinstance(message, ChartPane.Walked) and message.chart is self.chart

    class Chosen(Message):
        """A point was chosen with enter or a double click."""

        def __init__(self, chart: ChartPane, spot: Spot) -> None:
            super().__init__()
            self.chart = chart
            self.spot = spot

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._canvas = _Canvas(self)
        self._key: Hashable = None
        self._hovered: Hashable = None
        self._pointed: Hashable = None

    def compose(self) -> ComposeResult:
        """The plot fills the pane."""
        yield self._canvas

    # What a chart of its own kind shows.

    def show_scene(self, scene: object) -> None:
        """Show something else, where it is something else."""
        if scene != self.scene:
            self.scene = scene
            self._canvas.refresh()

    @property
    def state(self) -> Hashable | object:
        """All that a drawing depends on, besides its size and colours."""
        return self.scene

    def invitation(self) -> Sequence[str]:
        """What is said in place of a chart where there is nothing to draw; nothing where there is."""
        raise NotImplementedError

    def draw(self, plot: Plot, width: int, height: int, colors: Mapping[str, PlotColor]) -> Drawn:
        """The drawing of the scene, and its points."""
        raise NotImplementedError

    def first_spot(self, spots: Sequence[Spot]) -> Spot:
        """The point at which a walk begins."""
        return min(spots, key=lambda spot: spot.place)

    def came_to(self, spot: Spot) -> None:
        """Act on another point's being at hand."""

    def drawn(self, canvas: _Canvas, colors: Mapping[str, PlotColor]) -> Drawn:
        """The chart, or what to do to get one."""
        width, height = canvas.size
        if invitation := self.invitation():
            return Drawn(_centred(invitation, width, height))
        if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
            return Drawn(_centred(["too small for a chart"], width, height))
        return self.draw(canvas.plot, width, height, colors)

    def color_of(self, component: str) -> PlotColor:
        """A component's colour as plotext takes it; the terminal's own colours stay what they are."""
        color = self.get_component_styles(component).color
        if color.ansi is not None:
            return "default" if color.ansi < 0 else color.ansi
        return (self.background_colors[1] + color).rgb

    @property
    def is_hovered(self) -> bool:
        """Whether the mouse is on one of the points."""
        return self._hovered is not None

    # The point at hand.

    @property
    def spots(self) -> tuple[Spot, ...]:
        """The points that can be walked to, as last drawn."""
        return self._canvas.drawn.spots

    @property
    def at_hand(self) -> Spot | None:
        """The point under the mouse, else where the keys are, else the one that was pointed out."""
        mine = self._key if self.has_focus else self._pointed
        return spot_of(self.spots, self._hovered) or spot_of(self.spots, mine)

    def point_out(self, key: Hashable) -> None:
        """Tell of a point while the keys are elsewhere; None: of none."""
        if key != self._pointed:
            self._pointed = key
            self._canvas.refresh()

    def begin(self) -> None:
        """Have a point at hand where there is none yet."""
        if self.spots and spot_of(self.spots, self._key) is None:
            self.walk_to(self.first_spot(self.spots))

    def walk_to(self, spot: Spot) -> None:
        """Have another point at hand."""
        self._key, self._hovered = spot.key, None
        self.came_to(spot)
        self._canvas.refresh()
        self.post_message(self.Walked(self, spot))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without points the keys that walk them are the screen's."""
        return bool(self.spots) if action in ("walk", "walk_to_end", "choose") else True

    def action_walk(self, across: int, up: int) -> None:
        """Walk to the next point, in the order of either axis."""
        here = spot_of(self.spots, self._key)
        if here is not None:
            self.walk_to(beside(self.spots, here, across) if across else above(self.spots, here, up))
        elif self.spots:
            self.walk_to(self.first_spot(self.spots))

    def action_walk_to_end(self, last: bool) -> None:
        """Walk to the first or the last point."""
        here = spot_of(self.spots, self._key)
        if here is not None:
            self.walk_to(at_end(self.spots, here, last=last))

    def action_choose(self) -> None:
        """Choose the point at hand."""
        if (here := spot_of(self.spots, self._key)) is not None:
            self.post_message(self.Chosen(self, here))

    def watch_has_focus(self, has_focus: bool) -> None:
        """Show the point at hand while the keys walk; begin where the walk ended last."""
        super().watch_has_focus(has_focus)
        if has_focus and self.spots:
            self.walk_to(spot_of(self.spots, self._key) or self.first_spot(self.spots))
        elif not has_focus:
            self.post_message(self.Walked(self, self.at_hand))
        self._canvas.refresh()

    # The mouse, as the canvas hears it.

    def hover(self, column: int, line: int) -> None:
        """Tell of the point under the mouse."""
        spot = under(self.spots, column, line)
        key = spot.key if spot is not None else None
        if key != self._hovered:
            self._hovered = key
            self._canvas.refresh()
            self.post_message(self.Walked(self, self.at_hand))

    def leave(self) -> None:
        """The mouse is elsewhere."""
        if self._hovered is not None:
            self._hovered = None
            self._canvas.refresh()
            self.post_message(self.Walked(self, self.at_hand))

    def clicked(self, column: int, line: int, chain: int) -> None:
        """Walk to the point that was clicked; a double click chooses it."""
        spot = under(self.spots, column, line)
        if spot is not None:
            self.walk_to(spot)
            if chain == 2:
                self.action_choose()

    def scrolled(self, steps: int, column: int, line: int) -> bool:
        """Act on the mouse's wheel, upwards or downwards; gives whether it did anything."""
        return False


class _Canvas(Widget):
    """The plot itself, with the point at hand told of on top of it.

    plotext takes a tenth of the app's start to load, so that waits until there is something to draw.
    """

    DEFAULT_CSS = "_Canvas { width: 1fr; height: 1fr; }"

    def __init__(self, pane: ChartPane) -> None:
        super().__init__()
        self._pane = pane
        self._plot: Plot | None = None
        self._state: object = None
        self.drawn = Drawn(Content(""))

    @property
    def plot(self) -> Plot:
        """What is drawn on."""
        if self._plot is None:
            from textual_plotext import Plot

            self._plot = Plot()
        return self._plot

    def render(self) -> Content:
        """The drawing, the last one where nothing differs."""
        pane, (width, height) = self._pane, self.size
        colors = {name: pane.color_of(name) for name in sorted(pane.COMPONENT_CLASSES)}
        state = (pane.state, width, height, tuple(colors.values()))
        if self._state != state:
            self._state, self.drawn = state, pane.drawn(self, colors)
        return self.drawn.content

    def render_line(self, y: int) -> Strip:
        """A line of the drawing, with what is told of the point at hand on top of it."""
        strip = super().render_line(y)
        spot = self._pane.at_hand
        if spot is None or spot.cell is None or spot.cell[1] != y:
            return strip
        column = min(spot.cell[0], self.size.width - 1)
        start, text = _told(spot, column, self.size.width)
        style = self._pane.get_component_rich_style("chart--here")
        return Strip.join(
            [
                strip.crop(0, start),
                Strip([Segment(text, style)]),
                strip.crop(start + cell_len(text), strip.cell_length),
            ]
        )

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Tell of the point under the mouse."""
        self._pane.hover(event.x, event.y)

    def on_leave(self) -> None:
        """Tell of it no more."""
        self._pane.leave()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Come closer, where the pane can."""
        if self._pane.scrolled(1, event.x, event.y):
            event.stop()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Go farther away, where the pane can."""
        if self._pane.scrolled(-1, event.x, event.y):
            event.stop()

    def on_click(self, event: events.Click) -> None:
        """Walk to the point under the mouse."""
        self._pane.clicked(event.x, event.y, event.chain)


def _told(spot: Spot, column: int, width: int) -> tuple[int, str]:
    """Where what is told of a point begins, and its text with the point's mark: beside it where it fits."""
    gap = " " * _BESIDE
    for said in spot.says:
        taken = cell_len(said)
        if column + 2 + _BESIDE + taken <= width:
            return column, f"{spot.mark}{gap}{said} "
        if column - 1 - _BESIDE - taken >= 0:
            return column - 1 - _BESIDE - taken, f" {said}{gap}{spot.mark}"
    return column, spot.mark


def _centred(lines: Sequence[str], width: int, height: int) -> Content:
    longest = max(len(line) for line in lines)
    left = max(0, (width - longest) // 2)
    above = max(0, (height - len(lines)) // 2)
    body = "\n".join((" " * left + line)[:width] for line in lines)
    return Content.assemble("\n" * above, (body, "dim"))
