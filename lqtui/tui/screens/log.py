"""A job's log."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class LogScreen(ModalScreen[None]):
    """Shows a text, its end first: the last lines of a log are the ones that matter."""

    DEFAULT_CSS = """
    LogScreen { align: center middle; }
    LogScreen > Vertical {
        width: 90%; height: 90%; padding: 0 1;
        border: round $primary; background: $surface;
    }
    LogScreen ScrollableContainer { height: 1fr; border: none; scrollbar-size: 1 1; }
    LogScreen Static { width: 1fr; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,l,enter", "dismiss(None)", "Close", show=False),
        Binding("c", "copy", "Copy", show=False),
        Binding("g", "edge(True)", "Start", show=False),
        Binding("G", "edge(False)", "End", show=False),
        Binding("ctrl+d", "page(1)", "Page down", show=False),
        Binding("ctrl+u", "page(-1)", "Page up", show=False),
        Binding("j", "step(1)", "Down", show=False),
        Binding("k", "step(-1)", "Up", show=False),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """The text, as it is."""
        with Vertical() as box:
            box.border_title = Content(self._title)
            box.border_subtitle = "↑↓ scroll · c copy · esc close"
            with ScrollableContainer(can_focus=True):
                yield Static(Content(self._text.expandtabs(4) or "The log is empty."))

    def on_mount(self) -> None:
        """Start at the end."""
        view = self.query_one(ScrollableContainer)
        view.focus()
        view.scroll_end(animate=False)

    def action_copy(self) -> None:
        """Hand the text to the terminal's clipboard (OSC 52)."""
        self.app.copy_to_clipboard(self._text)
        self.notify("Copied, if your terminal allows it (OSC 52); in tmux: set -g set-clipboard on.")

    def action_edge(self, start: bool) -> None:
        """Go to the start or the end."""
        view = self.query_one(ScrollableContainer)
        if start:
            view.scroll_home(animate=False)
        else:
            view.scroll_end(animate=False)

    def action_page(self, step: int) -> None:
        """Scroll by a page, less a line to find one's place by."""
        view = self.query_one(ScrollableContainer)
        view.scroll_relative(y=step * max(1, view.size.height - 1), animate=False)

    def action_step(self, lines: int) -> None:
        """Scroll by lines."""
        self.query_one(ScrollableContainer).scroll_relative(y=lines, animate=False)
