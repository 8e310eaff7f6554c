"""Searching the Hub for repositories with GGUF files."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from huggingface_hub import HfApi

from lqtui.hub.errors import HubError
from lqtui.hub.names import is_repository, shown
from lqtui.hub.sentences import hub_error
from lqtui.hub.session import guard
from lqtui.hub.values import Found, FoundRepository


def search(query: str, limit: int = 40) -> Found:
    """The repositories with GGUF files whose names hold the query's words, the most downloaded first.

    Raises:
        HubError: The Hub does not answer, or not as the Hub does.
    """
    guard()
    try:
        asked: Any = HfApi().list_models(
            filter="gguf", search=query.strip() or None, sort="downloads", limit=limit, full=True
        )
        models = list(asked)
        return Found(tuple(_repository(model) for model in models if is_repository(model.id)))
    except HubError:
        raise
    except Exception as error:  # whatever the library makes of an answer that it did not expect
        raise hub_error(error) from error


def count(value: object) -> int:
    """A number of the Hub's, 0 for what is none."""
    return value if isinstance(value, int) and 0 <= value < 1 << 62 else 0


def license_of(model: Any) -> str:
    """What a repository's tags say of its license."""
    tags = [tag for tag in model.tags or () if isinstance(tag, str)]
    found = next((tag for tag in tags if tag.startswith("license:")), "")
    return shown(found.removeprefix("license:"), 40)


def _repository(model: Any) -> FoundRepository:
    updated = model.last_modified or model.created_at
    return FoundRepository(
        id=model.id,
        downloads=count(model.downloads),
        likes=count(model.likes),
        updated=f"{updated:%Y-%m-%d}" if isinstance(updated, datetime) else "",
        gated=bool(model.gated),
        private=model.private is True,
        license=license_of(model),
    )
