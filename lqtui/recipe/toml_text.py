"""TOML as strangers may write it: refused with a sentence where Python's own reader would stumble or hang."""

from __future__ import annotations

import re
import tomllib
from typing import Any

_DEEPEST = 32
"""Tables within tables; those that lqtui reads are two deep, five where names have no quotes."""
_LEFT_OUT = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z)?'
    r"|'''(?:[^']|'(?!''))*+(?:'''|\Z)?"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
"""Texts and comments, in which dots mean nothing. No alternative fails once it has begun: each is linear."""
_TOO_DEEP = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{_DEEPEST}}}")


class NotTomlError(ValueError):
    """A text that is not TOML, or none that anybody needs; the message says where."""


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text says. Raises NotTomlError.

    Python's reader takes a time that grows with the square of a key's dots, recurses into each bracket, and
    fails on numbers of thousands of digits.
    """
    if _TOO_DEEP.search(_LEFT_OUT.sub("x", text)):
        raise NotTomlError(f"its tables are nested more than {_DEEPEST} deep")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NotTomlError(str(error)) from None
    except RecursionError:
        raise NotTomlError("its values are nested too deep") from None
    except ValueError:
        raise NotTomlError("it holds a number that is too long") from None
