"""What every answer of the Hub is held to before anybody believes it.

The library trusts the Hub: it writes where an answer's headers say, waits for as long as the Hub wishes, and
reads whatever comes. These checks are part of the client that the library itself uses for each request.
"""

from __future__ import annotations

import logging
import re
from functools import partial
from typing import Any

from huggingface_hub import constants, get_session, hf_raise_for_status, set_client_factory
from huggingface_hub.errors import HfHubHTTPError

from lqtui.hub.address import PORTS, Origin, endpoint, hub_origins, not_the_hub
from lqtui.hub.errors import HubError
from lqtui.hub.names import COMMIT
from lqtui.hub.sentences import hub_error
from lqtui.hub.token import Discreet, tells_token

_LARGEST_ANSWER = 32 << 20
"""Bytes of an answer that is no file; the longest lists of files have a few million."""
_ETAG = re.compile(r'(?:W/)?"?[0-9A-Za-z](?:[0-9A-Za-z_.+=-]{0,199}(?<!\.incomplete)(?<!\.lock))?"?')
"""Neither a folder's own name nor that of another file's beginning in the cache."""
_PACKED = ("gzip", "deflate")
"""How an answer may be packed. Others, or two of them one in the other, become millions of bytes of one."""

_guarded = False


def guard() -> None:
    """Have the library ask through a client that checks what it is told."""
    global _guarded
    if _guarded:
        return
    constants.HF_HUB_DISABLE_TELEMETRY = True  # it asks for more than the person did
    library_client: Any = get_session()
    kind, request_hooks = type(library_client), library_client.event_hooks["request"]

    def client() -> Any:
        made = kind(
            event_hooks={"request": [*request_hooks, _keep_token], "response": [_check]},
            follow_redirects=True,
            timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        )
        made.send = partial(_send, made.send)
        made.headers["Accept-Encoding"] = ", ".join(_PACKED)
        return made

    set_client_factory(client)
    for handler in logging.getLogger("huggingface_hub").handlers:
        handler.addFilter(Discreet())
    _guarded = True


def _send(send: Any, request: Any, **options: Any) -> Any:
    """Ask once: the library would ask for lists again and again for half a minute before it says anything."""
    try:
        return send(request, **options)
    except (HubError, HfHubHTTPError):
        raise
    except Exception as error:
        if _is_api(request):
            raise hub_error(error) from error
        raise


def _keep_token(request: Any) -> None:
    """Send the person's token to the Hub alone, wherever the Hub sends a request on to."""
    url = request.url
    if Origin(url.scheme, url.host, url.port or PORTS.get(url.scheme)) not in hub_origins():
        request.headers.pop("authorization", None)


def _check(response: Any) -> None:
    if response.request.method == "HEAD":
        _check_names(response.headers)
    elif response.headers.get("content-encoding", "identity").strip().lower() not in ("identity", *_PACKED):
        raise HubError(f"{endpoint()} packs its answer in a way that was not asked for; it is not used")
    elif response.status_code not in (200, 206) or _is_api(response.request):
        _read(response)
    if response.status_code >= 400:
        hf_raise_for_status(response)
    kind = response.headers.get("content-type", "").lower()
    if response.status_code != 200 or response.request.method == "HEAD":
        _check_part(response)
    elif "html" in kind or (_is_api(response.request) and "json" not in kind):
        raise not_the_hub()


def _check_part(response: Any) -> None:
    """The library appends what comes to what is there, whichever part of the file it is."""
    asked = response.request.headers.get("range", "").removeprefix("bytes=").partition("-")[0]
    told = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
    if response.status_code == 206 and told and told != asked:
        raise HubError(f"{endpoint()} sends another part of a file than was asked for; try again later")


def _check_names(headers: Any) -> None:
    """The library makes paths of these; no other text may come to be one."""
    for name, allowed in (
        (constants.HUGGINGFACE_HEADER_X_REPO_COMMIT, COMMIT),
        (constants.HUGGINGFACE_HEADER_X_LINKED_ETAG, _ETAG),
        ("ETag", _ETAG),
    ):
        value = headers.get(name)
        if value is not None and (not allowed.fullmatch(value) or tells_token(value)):
            raise HubError(f"{endpoint()} sends a {name} that names no version of a file; it is not used")


def _read(response: Any) -> None:
    """Read an answer that is no file, up to a length that no honest one has."""
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > _LARGEST_ANSWER:
            raise HubError(f"{endpoint()} gives an answer without an end; it was not read on")
    response._content = bytes(body)


def _is_api(request: Any) -> bool:
    """Whether a request is for a list or a search; files can have addresses with `api` in them, too."""
    path: str = request.url.path
    return "/api/models" in path and "/resolve/" not in path
