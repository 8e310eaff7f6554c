"""The line that a filter is typed in."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static


class FilterLine(Horizontal):
    """A line under the panes, there while one types; what is typed filters at once.

    Enter and the arrows keep the filter, esc gives it up.
    """

    DEFAULT_CSS = """
    FilterLine { display: none; height: 1; width: 1fr; padding: 0 1; background: $panel; }
    FilterLine > #filter-slash { width: 2; color: $text-accent; text-style: bold; }
    FilterLine > Input { width: 1fr; background: $panel; }
    FilterLine > #filter-said { width: auto; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave(False)", "Give up", show=False),
        Binding("enter,down,up", "leave(True)", "Keep", show=False, priority=True),
    ]

    class Changed(Message):
        """Another filter is typed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The line is left; `kept` says whether the filter stays."""

        def __init__(self, kept: bool) -> None:
            super().__init__()
            self.kept = kept

    def compose(self) -> ComposeResult:
        """The slash, the line, and what to type."""
        yield Static("/", id="filter-slash")
        yield Input(compact=True, id="filter-text")
        yield Static(id="filter-said")

    def open(self, text: str, examples: str) -> None:
        """Let the person type, from what filters now on; `examples` stands where nothing is typed."""
        self.display = True
        line = self.query_one(Input)
        line.placeholder = examples
        with line.prevent(Input.Changed):
            line.value = text
        line.cursor_position = len(text)
        self.query_one("#filter-said", Static).update("  enter keep · esc all")
        line.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    def action_leave(self, keep: bool) -> None:
        """Go back to the pane."""
        self.display = False
        self.post_message(self.Left(keep))

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """Who goes elsewhere, by tab or the mouse, keeps the filter."""
        self.display = False
