"""The files that a recipe's document names, each by its path and its SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lqtui.recipe.errors import RecipeError


def path_and_digest(document: Mapping[Any, object], key: str, what: str) -> tuple[str, str] | None:
    """The path under a key and the SHA-256 beside it, "" where none is given; None where no file is named.

    Both may also be in one object, as a plan is printed. `what` says in errors which file is meant.
    """
    path, sha256 = document.get(key) or "", document.get(f"{key}_sha256", "")
    if isinstance(path, dict):
        path, sha256 = path.get("path", ""), path.get("sha256", "")
    if not isinstance(path, str) or not isinstance(sha256, str):
        raise RecipeError(f"{key!r} must be a text, the path of {what}, and so must be '{key}_sha256'")
    if sha256 and not path:
        raise RecipeError(f"'{key}_sha256' goes with {key!r}, the path of {what}")
    return (path, sha256) if path else None
