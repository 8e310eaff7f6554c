"""The person's token for the Hub: nothing that lqtui shows or keeps has it, whoever wrote it there."""

from __future__ import annotations

import contextlib
import logging
import re
from functools import cache

from huggingface_hub import get_token

from lqtui.recipe.printable import printable

_SHORTEST = 8
"""Characters; what is shorter is no token of the Hub's, and part of too many words."""
_SIGNATURE = re.compile(r"(?<=\?)[^\s'\"]+")
_PASSWORD = re.compile(r"(?<=//)[^/\s@]*@")


def without_token(text: str) -> str:
    """A text with a sign of omission in the token's place."""
    return text.replace(_token(), "…") if _token() else text


def tells_token(text: str) -> bool:
    """Whether a text has the token in it: the Hub knows it, and may give it as a name."""
    return bool(_token()) and _token() in text


class Discreet(logging.Filter):
    """Takes out of the library's log what gives access: the token, signatures and passwords of addresses."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and have it written."""
        text = without_token(record.getMessage())
        text = _PASSWORD.sub("", _SIGNATURE.sub("…", text))
        record.msg, record.args = printable(text, keep="\n"), None
        record.exc_info = None
        return True


@cache
def _token() -> str:
    with contextlib.suppress(Exception):  # where the token cannot be read, no text has it
        token = get_token() or ""
        return token if len(token) >= _SHORTEST else ""
    return ""
