"""A job's log."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from lqtui.tui.widgets.border_words import set_border_words

_READ_SECONDS = 0.5


class LogScreen(ModalScreen[None]):
    """Shows a text, its end first: the last lines of a log are the ones that matter.

    While `grows` says so, what comes is shown as it comes, as long as the end is in sight.
    """

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
        Binding("f", "follow", "Follow", show=False),
        Binding("g", "edge(True)", "Start", show=False),
        Binding("G", "edge(False)", "End", show=False),
        Binding("ctrl+d", "page(1)", "Page down", show=False),
        Binding("ctrl+u", "page(-1)", "Page up", show=False),
        Binding("j", "step(1)", "Down", show=False),
        Binding("k", "step(-1)", "Up", show=False),
    ]

    def __init__(self, title: str, read: Callable[[], str], grows: Callable[[], bool]) -> None:
        super().__init__()
        self._title, self._read, self._grows = title, read, grows
        self._text = read()
        self._follows = True

    def compose(self) -> ComposeResult:
        """The text, as it is."""
        with Vertical() as box:
            box.border_title = Content(self._title)
            with ScrollableContainer(can_focus=True):
                yield Static(self._content)

    @property
    def _content(self) -> Content:
        return Content(self._text.expandtabs(4) or "The log is empty.")

    def on_mount(self) -> None:
        """Start at the end, and stay there while more comes."""
        view = self.query_one(ScrollableContainer)
        view.focus()
        view.scroll_end(animate=False)
        self.watch(view, "scroll_y", self._see_whether_to_follow, init=False)
        self.set_interval(_READ_SECONDS, self._follow)
        self._tell_keys()

    def _follow(self) -> None:
        """Show what has come; stay at the end where that is in sight."""
        text = self._read()
        if text != self._text:
            self._text = text
            self.query_one(Static).update(self._content)
            if self._follows:
                self.query_one(ScrollableContainer).scroll_end(animate=False)
        self._tell_keys()

    def _see_whether_to_follow(self) -> None:
        view = self.query_one(ScrollableContainer)
        if self._grows() and not view.is_vertical_scroll_end and view.scroll_y < view.scroll_target_y + 1:
            self._follows = False
        elif view.is_vertical_scroll_end:
            self._follows = True
        self._tell_keys()

    def _tell_keys(self) -> None:
        follow = ("following · " if self._follows else "f follow · ") if self._grows() else ""
        set_border_words(self.query_one(Vertical), subtitle=f"{follow}↑↓ scroll · c copy · esc close")

    def action_follow(self) -> None:
        """Go to the end and stay there while more comes."""
        self._follows = True
        self.action_edge(False)

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
