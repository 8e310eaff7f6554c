"""What the terminal is sent: text that it shows, and nothing in it that it would obey."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from lqtui.recipe.printable import JOINERS, REPLACEMENT, printable


class HarmlessText(LineFilter):
    """Keeps what strangers wrote into names from reaching the terminal as control characters or escapes.

    It stands behind every widget, so that none has to think of it. What takes no room on the screen goes,
    the rest gives way to as many U+FFFD, so that a line stays as wide as it was laid out.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """A line's segments, those that Textual itself means as control codes left alone."""
        if all(segment.control or segment.text.isprintable() for segment in segments):
            return segments
        return [
            segment if segment.control else Segment(_harmless(segment.text), segment.style)
            for segment in segments
        ]


def _harmless(text: str) -> str:
    return "".join(c if printable(c, JOINERS) == c else REPLACEMENT * cell_len(c) for c in text)
