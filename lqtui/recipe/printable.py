"""Text from strangers' files and servers, made fit to be shown: a terminal must never obey it."""

from __future__ import annotations

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
JOINERS = "\u200c\u200d"
"""Not printable by themselves, and part of emoji and of several scripts."""


def printable(text: str, keep: str = "") -> str:
    """A text without control characters, escapes and marks that turn the writing's direction.

    Each gives way to U+FFFD, line ends and tabs too, besides those that `keep` names.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else REPLACEMENT for c in text)
