"""Names that strangers gave: which of them are used at all, and how any text of theirs is shown."""

from __future__ import annotations

import re

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from lqtui.hub.errors import HubError, NotOnHubError
from lqtui.hub.token import tells_token, without_token
from lqtui.recipe.printable import printable

COMMIT = re.compile(r"[0-9a-f]{40,64}")
SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST = 400
_LONGEST_PART = 255
"""Bytes; file systems take no more for one name."""


def shown(text: object, longest: int = 200) -> str:
    """The beginning of a text as it can be shown; nothing of what is no text."""
    if not isinstance(text, str):
        return ""
    return printable(without_token(text[: longest + _LONGEST])[:longest])


def is_repository(name: object) -> bool:
    """Whether a name is one that a repository can have."""
    if not isinstance(name, str) or tells_token(name):
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def require_repository(name: str) -> None:
    """Refuse a name that no repository can have; NotOnHubError says what names look like."""
    if not is_repository(name):
        raise NotOnHubError(
            f"{shown(name)!r} is no name of a repository; write owner/name, "
            "as in Qwen/Qwen2-0.5B-Instruct-GGUF"
        )


def is_usable(path: object) -> bool:
    """Whether a file's name stays below its folder, and shows what it is."""
    return (
        isinstance(path, str)
        and 0 < len(path) <= _LONGEST
        and path.isprintable()
        and not tells_token(path)
        and not set('\\:"') & set(path)
        and all(
            part not in ("", ".", "..") and len(part.encode()) <= _LONGEST_PART for part in path.split("/")
        )
    )


def require_usable(path: str) -> None:
    """Refuse a file's name that could lead out of its folder, or that hides what it is."""
    if not is_usable(path):
        raise HubError(f"{shown(path)!r} is no name that lqtui would write a file under; it is left alone")
