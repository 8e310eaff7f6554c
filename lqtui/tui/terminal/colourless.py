"""What is left of a screen where no colour is wanted: NO_COLOR, as no-color.org asks for it."""

from __future__ import annotations

from functools import lru_cache
from math import dist

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

_FAR = 130.0
"""From this distance between a background and the screen's, in RGB, something is meant by it: a cursor."""
_FAINT = 0.45
"""Below this difference in brightness from what is behind it a text is meant to be faint."""
_BLACK, _GREY = 0, 8
"""ANSI's numbers of them."""
_PLAIN = Style.parse("default on default")


class Colourless(LineFilter):
    """Takes every colour out of a line; what stood out by its background is reversed, what was faint is dim.

    Textual itself would leave greys in true colour, which are colours too.
    """

    def __init__(self, background: Color) -> None:
        super().__init__()
        self._background = background

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """A line's segments without colours."""
        return [
            Segment(text, style and _colourless(style, self._background), control)
            for text, style, control in segments
        ]


@lru_cache(4096)
def _colourless(style: Style, screen: Color) -> Style:
    ink, behind = _own(style.color), _own(style.bgcolor)
    reverse = bool(style.reverse) or (behind is not None and _stands_out(behind, screen))
    dim = bool(style.dim) or (not reverse and ink is not None and _is_faint(ink, behind or screen))
    return style + _PLAIN + Style(reverse=reverse, dim=dim)


def _own(colour: RichColor | None) -> Color | None:
    """A colour, None for the terminal's own."""
    return None if colour is None or colour.is_default else Color.from_rich_color(colour)


def _stands_out(behind: Color, screen: Color) -> bool:
    if behind.ansi is not None:
        return behind.ansi != _BLACK
    return dist(behind.rgb, screen.rgb) >= _FAR


def _is_faint(ink: Color, behind: Color) -> bool:
    if ink.ansi is not None:
        return ink.ansi == _GREY
    return abs(ink.brightness - behind.brightness) < _FAINT
