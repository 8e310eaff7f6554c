"""The status line: a sentence about what is under the cursor or about what just happened."""

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
        self.wordings: tuple[str, ...] = ("",)
        self.event = ""

    def explain(self, *wordings: str, moved: bool = True) -> None:
        """Say what is under the cursor in the first wording that fits, of several from long to short.

        What just happened is forgotten if the cursor moved.
        """
        self._show(wordings or ("",), "" if moved else self.event)

    def announce(self, event: str) -> None:
        """Say what just happened."""
        self._show(self.wordings, event)

    def _show(self, wordings: tuple[str, ...], event: str) -> None:
        if (wordings, event) != (self.wordings, self.event):
            self.wordings, self.event = wordings, event
            self.refresh()

    @property
    def sentence(self) -> str:
        """What is said of what is under the cursor, at the width there is."""
        width = self.content_size.width
        fitting = (wording for wording in self.wordings if len(wording) <= width)
        return next(fitting, self.wordings[-1])

    def render(self) -> Content:
        """The sentence, cut where the line ends."""
        text = Content.styled(self.event, "$text-accent") if self.event else Content(self.sentence)
        return text.truncate(self.content_size.width, ellipsis=True)
