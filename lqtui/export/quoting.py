"""Words of a shell script for any text, and back: what a terminal would obey is written by its number."""

from __future__ import annotations

import os
import re
import shlex

_ESCAPED = re.compile(r"\\([0-7]{3}|[\\'])")
_WORD = re.compile(r"\$'((?:[^\\']|\\[0-7]{3}|\\[\\'])*)'")


def quoted(text: str) -> str:
    """One word for bash, 3.2 too; printable, whatever the text has, names that are no Unicode included."""
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def first_word(script: str) -> str:
    """The text of the word that a part of a script begins with; ValueError where that is none."""
    if found := _WORD.match(script):
        return os.fsdecode(_ESCAPED.sub(_unescaped, found[1]).encode("latin-1"))
    return shlex.split(script)[0]


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isascii() and character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def _unescaped(found: re.Match[str]) -> str:
    return found[1] if found[1] in "\\'" else chr(int(found[1], 8) & 0xFF)
