"""Asks what to take of a quantized file: its types, or the file itself."""

from __future__ import annotations

from enum import Enum, auto
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from lqtui.tui.keys.shown import key_of


class Take(Enum):
    """What to take of a quantized file."""

    TYPES = auto()
    FILE = auto()


class TakeGguf(ModalScreen[Take | None]):
    """Asks whether a file's types are quantized anew here, or its own bytes are taken; None is neither."""

    DEFAULT_CSS = """
    TakeGguf { align: center middle; }
    TakeGguf > Vertical {
        width: auto; max-width: 74; height: auto; padding: 1 2;
        border: round $primary; background: $surface;
    }
    TakeGguf Static { width: auto; max-width: 68; margin-bottom: 1; }
    TakeGguf Horizontal { width: auto; height: auto; }
    TakeGguf Button { margin-right: 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "take('TYPES')", "Types", show=False),
        Binding("f", "take('FILE')", "File", show=False),
        Binding("escape,q", "dismiss(None)", "Neither", show=False),
        Binding("left,h", "app.focus_previous", "Previous", show=False),
        Binding("right,l", "app.focus_next", "Next", show=False),
    ]

    def __init__(self, name: str) -> None:
        super().__init__()
        self._file_name = name

    def compose(self) -> ComposeResult:
        """What the two are, each with its key."""
        with Vertical() as box:
            box.border_title = Content(self._file_name)
            box.border_subtitle = "t types · f file · esc neither"
            measures = key_of(self, "run.measure")
            yield Static(
                "Its types: each tensor is quantized here, from the base model.\n"
                "The file itself: its own bytes, which may be by an importance matrix or another program; "
                f"{measures} then measures that very file."
            )
            with Horizontal():
                yield Button("Its types (t)", id="TYPES", variant="primary", compact=True)
                yield Button("The file itself (f)", id="FILE", compact=True)

    def on_mount(self) -> None:
        """Enter takes the types, as it did before one could choose."""
        self.query_one("#TYPES").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.action_take(event.button.id or "")

    def action_take(self, what: str) -> None:
        """Answer by key."""
        self.dismiss(Take[what])
