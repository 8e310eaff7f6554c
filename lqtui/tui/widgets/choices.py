"""Lists and texts in dialogs, that vim's keys move in as the arrow keys do."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import OptionList


class Choices(OptionList):
    """A list to choose from."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "first", "First", show=False),
        Binding("G", "last", "Last", show=False),
        Binding("ctrl+d", "page_down", "Page down", show=False),
        Binding("ctrl+u", "page_up", "Page up", show=False),
    ]

    def action_page_down(self) -> None:
        """Move a page down, where there is room for one: Textual looks for lines that it has not laid out."""
        if self.scrollable_content_region:
            super().action_page_down()  # type: ignore[no-untyped-call]

    def action_page_up(self) -> None:
        """Move a page up, where there is room for one."""
        if self.scrollable_content_region:
            super().action_page_up()  # type: ignore[no-untyped-call]


class Pages(VerticalScroll, can_focus=True):
    """A text to scroll through, at once and without gliding."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "line(1)", "Down", show=False),
        Binding("up,k", "line(-1)", "Up", show=False),
        Binding("home,g", "edge(False)", "Start", show=False),
        Binding("end,G", "edge(True)", "End", show=False),
        Binding("pagedown,ctrl+d,space", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
    ]

    def action_line(self, step: int) -> None:
        """Scroll by a line."""
        self.scroll_relative(y=step, animate=False)

    def action_page(self, step: int) -> None:
        """Scroll by a page, less a line to find one's place by."""
        self.scroll_relative(y=step * max(1, self.size.height - 1), animate=False)

    def action_edge(self, end: bool) -> None:
        """Go to the start or the end."""
        self.scroll_to(y=self.max_scroll_y if end else 0, animate=False)
