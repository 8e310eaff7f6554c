"""Text from strangers' files and servers, made fit to be shown: a terminal must never obey it."""

from __future__ import annotations

import json
import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LONGEST = 1000
JOINERS = "\u200c\u200d"
"""Not printable by themselves, and part of emoji and of several scripts."""

_NOT_ASCII = re.compile(r"[^\x00-\x7e]")


def printable(text: str, keep: str = "") -> str:
    """A text without control characters, escapes and marks that turn the writing's direction.

    Each gives way to U+FFFD, line ends and tabs too, besides those that `keep` names.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else REPLACEMENT for c in text)


def printable_json(document: str) -> str:
    """A JSON document that says the same without what a terminal would obey: there it has numbers.

    Below U+0020 JSON has none but those between its texts.
    """
    return _NOT_ASCII.sub(_numbered, document)


def _numbered(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1].replace("\x7f", "\\u007f")


def shortened(sentence: str) -> str:
    """A sentence that can be shown, whatever it quotes: the middle of a very long one is left out."""
    if len(sentence) <= _LONGEST:
        return sentence
    return f"{sentence[: _LONGEST // 2]} … {sentence[-_LONGEST // 2 :]}"
