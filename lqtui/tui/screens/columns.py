"""Which columns the layers show beside their cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from lqtui.tui.keys.shown import with_keys
from lqtui.tui.widgets.grid_columns import DEFAULT_FACTS, GridFact

_NAME = max(len(fact) for fact in GridFact) + 2


class FactToggles(Widget, can_focus=True):
    """A line for each column, on or off."""

    DEFAULT_CSS = """
    FactToggles { width: 1fr; height: 6; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("space,right,left,h,l", "switch", "On or off", show=False),
    ]

    def __init__(
        self,
        facts: frozenset[GridFact],
        left_out: Callable[[], frozenset[GridFact]],
        changed: Callable[[frozenset[GridFact]], None],
    ) -> None:
        super().__init__()
        self._facts, self._left_out, self._changed = facts, left_out, changed
        self._cursor = 0

    def render(self) -> Content:
        """Each with its mark; those that have no room at this width say so."""
        left_out = self._left_out()
        return Content("\n").join([self._line(i, fact, left_out) for i, fact in enumerate(GridFact)])

    def _line(self, index: int, fact: GridFact, left_out: frozenset[GridFact]) -> Content:
        on, here = fact in self._facts, index == self._cursor
        said = "no room for it now" if fact in left_out else fact.described
        return Content.assemble(
            ("✓ " if on else "· ", "$text-success" if on else "dim"),
            (fact.ljust(_NAME), "bold reverse" if here else "bold" if on else ""),
            (f" {said}", "$text-warning" if fact in left_out else "$text-muted"),
        )

    def action_move(self, step: int) -> None:
        """Go to another column."""
        self._cursor = (self._cursor + step) % len(GridFact)
        self.refresh()

    def action_switch(self) -> None:
        """Show the column, or hide it."""
        self.choose(self._facts ^ {list(GridFact)[self._cursor]})

    def choose(self, facts: frozenset[GridFact]) -> None:
        """Show these columns."""
        self._facts = facts
        self._changed(facts)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Show or hide the column under the mouse."""
        if 0 <= event.y < len(GridFact):
            self._cursor = event.y
            self.action_switch()


class ColumnsScreen(ModalScreen[None]):
    """The layers follow each change at once, beside the dialog."""

    DEFAULT_CSS = """
    ColumnsScreen { align: right bottom; background: $background 0%; }
    ColumnsScreen > Vertical {
        width: 60; max-width: 96%; height: auto; padding: 0 1; margin: 0 0 2 0;
        border: round $primary; background: $surface;
    }
    ColumnsScreen Static { height: auto; color: $text-muted; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,O,enter", "dismiss(None)", "Close", show=False),
        Binding("0", "reset", "As at first", show=False),
    ]

    def __init__(self, toggles: FactToggles) -> None:
        super().__init__()
        self._toggles = toggles

    def compose(self) -> ComposeResult:
        """The columns, and where there is room for more."""
        with Vertical() as box:
            box.border_title = "columns of the layers"
            box.border_subtitle = "space on or off · 0 as at first · esc close"
            yield self._toggles
            yield Static(with_keys(self, "{pane.zoom} and {pane.wider} give the layers more room."))

    def action_reset(self) -> None:
        """Show what is shown where nobody has chosen."""
        self._toggles.choose(DEFAULT_FACTS)
