"""The status line: a sentence about what is under the cursor or about what just happened."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget


class StatusLine(Widget):
    """A sentence on what the next key acts on; what just happened takes its place until the cursor moves."""

    DEFAULT_CSS = """
    StatusLine { height: 1; width: 1fr; padding: 0 1; }
    StatusLine > .status-line--event { color: $text-accent; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"status-line--event"}

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.wordings: tuple[str, ...] = ("",)
        self.events: tuple[str, ...] = ("",)

    def explain(self, *wordings: str, moved: bool = True) -> None:
        """Say what is under the cursor in the first wording that fits, of several from long to short.

        What just happened is forgotten if the cursor moved.
        """
        self._show(wordings or ("",), ("",) if moved else self.events)

    def announce(self, *wordings: str) -> None:
        """Say what just happened, in the first wording that fits."""
        self._show(self.wordings, wordings or ("",))

    def _show(self, wordings: tuple[str, ...], events: tuple[str, ...]) -> None:
        if (wordings, events) != (self.wordings, self.events):
            self.wordings, self.events = wordings, events
            self.refresh()

    @property
    def sentence(self) -> str:
        """What is said of what is under the cursor, at the width there is."""
        return self._fitting(self.wordings)

    @property
    def event(self) -> str:
        """What is said of what just happened, at the width there is."""
        return self._fitting(self.events)

    def _fitting(self, wordings: tuple[str, ...]) -> str:
        width = self.content_size.width
        return next((wording for wording in wordings if len(wording) <= width), wordings[-1])

    def render_line(self, y: int) -> Strip:
        """The sentence, cut where the line ends."""
        event, width, plain = self.event, self.content_size.width, self.rich_style
        style = self.get_component_rich_style("status-line--event") if event else plain
        text = event or self.sentence
        if cell_len(text) > width:
            text = f"{set_cell_size(text, max(0, width - 1))}…"
        return Strip([Segment(text, style)]).adjust_cell_length(width, plain)
