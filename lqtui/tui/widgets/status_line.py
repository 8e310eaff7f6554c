"""The status line: a sentence about the cell under the cursor or about what just happened."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget


class StatusLine(Widget):
    """A sentence on what the next key acts on; what just happened takes its place until the cursor moves."""

    DEFAULT_CSS = """
    StatusLine { height: 1; width: 1fr; padding: 0 1; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.sentence = ""
        self.event = ""

    def explain(self, sentence: str) -> None:
        """Say what is under the cursor; what just happened is forgotten."""
        self._show(sentence, "")

    def announce(self, event: str) -> None:
        """Say what just happened."""
        self._show(self.sentence, event)

    def _show(self, sentence: str, event: str) -> None:
        if (sentence, event) != (self.sentence, self.event):
            self.sentence, self.event = sentence, event
            self.refresh()

    def render(self) -> Content:
        """The sentence, cut where the line ends."""
        text = Content.styled(self.event, "$text-accent") if self.event else Content(self.sentence)
        return text.truncate(self.content_size.width, ellipsis=True)
