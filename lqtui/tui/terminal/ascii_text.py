"""Letters and marks for terminals that have no more than ASCII."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

_FAMILIES = (
    ("▶┃≠·★•▸◂", ">|!.**><"),
    ("▶◌✓✗⊘‖⏸", ">.+X-=="),  # how jobs are
    ("●○◉◐◆◇╌┊→│─", "*o@%#?-:>|-"),  # in a chart
    ("▁▂▃▄▅▆▇█", "_-=+x*%#"),
    ("⡀⣀⣄⣤⣦⣶⣷⣿", ".,:;ilIH"),
    ("▏▎▍▌▋▊▉▐▕▔▀░▒▓■□", '|||||||||-".:=#o'),
    ("━╸╺┅┉╱╲╳", "=>-==/\\X"),
    ("±ΔΣρ×−–—≈≤≥√∞∎…ʸ⁻", "~dSrx---~<>v8#~y-"),
    ("↑↓←→▲▼▾▴‘’“”", "^v<>^vv^''\"\""),
)
"""What stands for what: within a family no two are alike where they are seen side by side."""
_MARKS = {mark: plain for marks, plains in _FAMILIES for mark, plain in zip(marks, plains, strict=True)}
_TOGETHER = ((" ±", "+-"), ("± ", "+-"), (" · ", " | "), (" …", ".."), ("≤ ", "<="), ("≥ ", ">="))
"""What reads better where there are two cells for it, or three."""
_DOTTED_BAR = re.compile("[⣿⡇ ]*[⣿⡇][⣿⡇ ]+")
_DOTTED = str.maketrans("⣿⡇", ":.")
_PARTS_OF_A_SCROLLBAR = {glyph: i >= 4 for i, glyph in enumerate("▁▂▃▄▅▆▇")}
_NO_LETTERS = ("linux", "dumb", "cons25", "vt52", "vt100", "vt102", "vt220", "vt320")
"""Terminals, by their TERM, whose fonts lack lqtui's marks."""


def needs_ascii(environ: Mapping[str, str]) -> bool:
    """Whether a terminal shows nothing but ASCII, as the environment tells it by TERM or by the locale.

    Without any locale it is taken to know UTF-8. A LANG=C counts although Python sets an LC_CTYPE for it
    (PEP 538).
    """
    if environ.get("TERM", "") in _NO_LETTERS:
        return True
    ctype = environ.get("LC_CTYPE", "")
    if ctype == "C.UTF-8" and environ.get("LANG") in ("C", "POSIX"):
        ctype = ""
    locale = environ.get("LC_ALL") or ctype or environ.get("LANG") or "C.UTF-8"
    return "utf8" not in locale.lower().replace("-", "")


class AsciiText(LineFilter):
    """Puts ASCII in the place of every other character, one cell for one cell.

    It stands behind every widget, as does `HarmlessText`, so that none has to think of it.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """A line's segments, those that Textual itself means as control codes left alone."""
        if all(segment.control or segment.text.isascii() for segment in segments):
            return segments
        return [s if s.control or s.text.isascii() else _ascii_segment(s) for s in segments]


def _ascii_segment(segment: Segment) -> Segment:
    text, style = segment.text, segment.style
    if text in _PARTS_OF_A_SCROLLBAR and style is not None and "@mouse.down" in style.meta:
        # an end of the handle: a whole cell of it, or none
        filled = _PARTS_OF_A_SCROLLBAR[text] is not bool(style.reverse)
        return Segment(" ", style + Style(reverse=filled))
    return Segment(in_ascii(text), style)


@lru_cache(4096)
def in_ascii(text: str) -> str:
    """A text in ASCII, as many cells wide."""
    width = cell_len(text)
    if _DOTTED_BAR.fullmatch(text):
        text = text.translate(_DOTTED)
    for signs, plain in _TOGETHER:
        text = text.replace(signs, plain.ljust(len(signs)))
    plain = "".join(c if c.isascii() else _in_ascii(c) for c in text)
    return plain[:width].ljust(width)  # signs that are drawn as one are narrower than their parts


def _in_ascii(character: str) -> str:
    if (mark := _MARKS.get(character)) is not None:
        return mark
    width = cell_len(character)
    if "\u2500" <= character <= "\u257f":
        return _line(unicodedata.name(character))
    if "\u2800" <= character <= "\u28ff":
        return " .::"[min(3, (ord(character) - 0x2800).bit_count())]
    letters = "".join(c for c in unicodedata.normalize("NFKD", character) if c.isascii())
    return letters if len(letters) == width else "?" * width


def _line(name: str) -> str:
    """A piece of a frame, by its name: lying, upright, or where lines meet."""
    if "HORIZONTAL" in name and "VERTICAL" not in name and "DOWN" not in name and "UP" not in name:
        return "=" if "DOUBLE" in name or "HEAVY" in name else "-"
    return "|" if "VERTICAL" in name and "HORIZONTAL" not in name and "AND" not in name else "+"
