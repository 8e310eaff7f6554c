"""What a person may have meant by a name that nothing has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], least: float = 0.6) -> str | None:
    """The known name that looks most like another, None where none is at least so much like it, 0 to 1."""
    return next(iter(difflib.get_close_matches(name, list(known), 1, least)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the known one that it looks like, if there is one."""
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near is not None else ""
