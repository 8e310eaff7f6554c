"""One line of a dialog with a value that the arrow keys change."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

LABEL_WIDTH = 17


class Chooser(Widget, can_focus=True):
    """One line with a value that the arrow keys change."""

    DEFAULT_CSS = """
    Chooser { height: 1; width: 1fr; &:focus { background: $primary 20%; text-style: bold; } }
    Chooser:ansi:focus { background: ansi_default; text-style: bold reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h,minus", "step(-1)", "Less", show=False),
        Binding("right,l,plus,space", "step(1)", "More", show=False),
    ]

    class Stepped(Message):
        """The person asks for the next value, or the one before."""

        def __init__(self, chooser: Chooser, step: int) -> None:
            super().__init__()
            self.chooser, self.step = chooser, step

    def __init__(self, label: str, *, id: str) -> None:
        super().__init__(id=id)
        self._label = label
        self._value = ""

    def show(self, value: str) -> None:
        """Show the value that now holds."""
        self._value = value
        self.refresh()

    def render(self) -> Content:
        """The label and the value, between arrows where there is a choice."""
        before, after = ("  ", "") if self.is_disabled else ("◂ ", " ▸")
        label = (self._label.ljust(LABEL_WIDTH), "$text-primary")
        return Content.assemble(label, (before, "dim"), self._value, (after, "dim"))

    def action_step(self, step: int) -> None:
        """Ask for another value."""
        self.post_message(self.Stepped(self, step))
