"""The status line: a sentence about the cell under the cursor or about what just happened."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget


class StatusLine(Widget):
    """One line: a sentence on the left; on the right, when panes are hidden, the budget in brief."""

    DEFAULT_CSS = """
    StatusLine { height: 1; width: 1fr; padding: 0 1; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.sentence = ""
        self.event = ""
        self.brief = ""

    def explain(self, sentence: str) -> None:
        """Say what is under the cursor; what just happened is forgotten."""
        self._set(sentence=sentence, event="")

    def announce(self, event: str) -> None:
        """Say what just happened, until the cursor moves."""
        self._set(event=event)

    def summarize(self, brief: str) -> None:
        """Keep a summary at the right end, or none."""
        self._set(brief=brief)

    def _set(self, **changes: str) -> None:
        before = (self.sentence, self.event, self.brief)
        for name, text in changes.items():
            setattr(self, name, text)
        if before != (self.sentence, self.event, self.brief):
            self.refresh()

    def render(self) -> Content:
        """The sentence, cut where the line ends."""
        width = self.content_size.width
        brief = Content.styled(self.brief, "bold")
        room = width - (brief.cell_length + 2 if self.brief else 0)
        text = Content.styled(self.event, "$text-accent") if self.event else Content(self.sentence)
        text = text.truncate(room, ellipsis=True, pad=bool(self.brief))
        return Content.assemble(text, "  ", brief) if self.brief else text
