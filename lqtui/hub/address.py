"""Who the Hub is: huggingface.co, or what HF_ENDPOINT names."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from huggingface_hub import constants

from lqtui.hub.errors import HubError

PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """What makes two addresses the same server's."""

    scheme: str
    host: str
    port: int | None


def hub_origins() -> set[Origin]:
    """The servers that a person's token is for."""
    parts = urlsplit(constants.ENDPOINT)
    own = Origin(parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme))
    return {own, Origin("https", "huggingface.co", 443), Origin("https", "hf.co", 443)}


def is_hub(address: str) -> bool:
    """Whether an address is one of the Hub's own."""
    try:
        parts = urlsplit(address)
        return (
            Origin(parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme)) in hub_origins()
        )
    except ValueError:
        return False


def endpoint() -> str:
    """The Hub's host, and its port where that is unusual; without the password that an address may have."""
    parts = urlsplit(constants.ENDPOINT)
    host = parts.hostname or constants.ENDPOINT
    return f"{host}:{parts.port}" if parts.port else host


def not_the_hub() -> HubError:
    """What to say of an answer that the Hub would not give."""
    return HubError(
        f"{endpoint()} does not answer as the Hugging Face Hub does; a login page may be in between"
    )
