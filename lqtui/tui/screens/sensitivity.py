"""Ask how to find out what matters: measure each part alone, or only estimate it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.rules import fitting_type, quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.recipe.units import units
from lqtui.tui.widgets.chooser import Chooser
from lqtui.tui.widgets.type_toggles import TypeToggles, types_for
from lqtui.workbench import PROBE

if TYPE_CHECKING:
    from lqtui.workbench import Score

_WAYS: tuple[Granularity | None, ...] = (Granularity.TENSOR, Granularity.BLOCK, None)
_CHUNKS = (1, 2, 4, 8, 16)
_ESTIMATED = (
    "Seconds, not measured: LIM and ZD of each block, and the error of each tensor, weighted by what flows "
    "into it."
)
_HOW = "Each is measured with all else as in the base model; the estimates, which take seconds, come first."


@dataclass(frozen=True)
class AskedSensitivity:
    """By tensor or block (None: estimates alone), lowered to which types, on how many chunks of text."""

    by: Granularity | None = Granularity.TENSOR
    types: tuple[TensorType, ...] = (PROBE,)
    chunks: int = 1


class SensitivityScreen(ModalScreen[AskedSensitivity | None]):
    """Three choices and what they will cost; gives what was asked for, or None."""

    DEFAULT_CSS = """
    SensitivityScreen { align: center middle; }
    SensitivityScreen > Vertical {
        width: 76; max-width: 96%; height: auto; max-height: 96%; padding: 0 2;
        border: round $primary; background: $surface; overflow-y: auto; scrollbar-size-vertical: 1;
    }
    SensitivityScreen #to { height: 1; margin-top: 1; color: $text-primary; }
    SensitivityScreen #cost { height: auto; margin-top: 1; text-style: bold; }
    SensitivityScreen #how { height: auto; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,m", "dismiss(None)", "Cancel", show=False),
        Binding("enter", "start", "Start", show=False),
        Binding("c", "chart", "Chart by depth", show=False),
        Binding("up,k", "app.focus_previous", "Up", show=False),
        Binding("down,j", "app.focus_next", "Down", show=False),
    ]

    def __init__(
        self,
        shape: ModelShape,
        n_ctx: int,
        known: Sequence[Score] = (),
        asked: AskedSensitivity | None = None,
        show_chart: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._show_chart = show_chart
        self._shape, self._n_ctx, self._known = shape, n_ctx, known
        self._asked = asked or AskedSensitivity()

    def compose(self) -> ComposeResult:
        """The choices, and what they cost."""
        with Vertical() as box:
            box.border_title = "what matters"
            box.border_subtitle = "↑↓ ←→ choose · space type on/off · enter start · c chart · esc"
            yield Chooser("find out", id="by")
            yield Chooser("chunks of text", id="chunks")
            yield Static("lowered to", id="to")
            yield TypeToggles(types_for(self._shape), self._asked.types, id="types")
            yield Static(id="cost")
            yield Static(id="how")

    def on_mount(self) -> None:
        """Show the choices."""
        self._show()

    @property
    def asked(self) -> AskedSensitivity:
        """What is asked for now."""
        return replace(self._asked, types=self.query_one(TypeToggles).chosen)

    @on(Chooser.Stepped)
    def _step(self, event: Chooser.Stepped) -> None:
        asked = self._asked
        if event.chooser.id == "by":
            self._asked = replace(asked, by=_WAYS[(_WAYS.index(asked.by) + event.step) % len(_WAYS)])
        else:
            place = _CHUNKS.index(asked.chunks) + event.step
            self._asked = replace(asked, chunks=_CHUNKS[min(max(place, 0), len(_CHUNKS) - 1)])
        self._show()

    @on(TypeToggles.Changed)
    def _show(self) -> None:
        asked = self.asked
        way = "estimates alone" if asked.by is None else f"each {asked.by}, measured alone"
        self.query_one("#by", Chooser).show(way)
        self.query_one("#chunks", Chooser).show("1" if asked.by is None else str(asked.chunks))
        for widget in ("#chunks", "#types"):
            self.query_one(widget).disabled = asked.by is None
        self.query_one("#cost", Static).update(Content(self._cost(asked)))
        self.query_one("#how", Static).update(Content("" if asked.by is None else _HOW))

    def _cost(self, asked: AskedSensitivity) -> str:
        if asked.by is None:
            return _ESTIMATED
        if not asked.types:
            return "Turn on at least one type to lower to."
        count, known = measurements(self._shape, asked, self._known)
        chunks = f"{asked.chunks} chunk{'s' if asked.chunks > 1 else ''} of {self._n_ctx} tokens"
        said = f"{count} measurement{'s' if count != 1 else ''} on {chunks} each"
        return f"{said}; {known} known already." if known else f"{said}."

    def action_chart(self) -> None:
        """Leave the choices for a chart of what is known by now."""
        self.dismiss(None)
        if self._show_chart is not None:
            self._show_chart()

    def action_start(self) -> None:
        """Give what is asked for, where that is something."""
        asked = self.asked
        if asked.by is None or asked.types:
            self.dismiss(asked)


def measurements(shape: ModelShape, asked: AskedSensitivity, known: Sequence[Score]) -> tuple[int, int]:
    """How many measurements are asked for, and how many of them are known."""
    own = {tensor.name: tensor.type for tensor in quantizable_tensors(shape)}
    done = {(score.unit.label, score.type) for score in known if score.chunks >= asked.chunks}
    wanted = [
        (unit.label, fitting_type(shape.by_name[unit.names[0]], each))
        for unit in units(shape, asked.by or Granularity.TENSOR)
        for each in asked.types
        if any(fitting_type(shape.by_name[name], each) is not own[name] for name in unit.names)
    ]
    return len(wanted), sum(one in done for one in wanted)
