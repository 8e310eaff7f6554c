"""What went wrong with the Hub, in one sentence for the person."""

from __future__ import annotations

import errno
import re

from huggingface_hub import constants
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from lqtui.hub.address import endpoint, not_the_hub
from lqtui.hub.errors import HubError, NotOnHubError
from lqtui.hub.names import shown

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_LONGEST_WAIT = 86_400
_ASKED_WRONGLY = (401, 403, 404)


def sentence(error: BaseException, repo_id: str = "", file_name: str = "") -> str:
    """Why a repository, a file of it, or a list (neither named) could not be had, and what to do about it."""
    return shown(_sentence(error, shown(repo_id), shown(file_name)), 1000)


def hub_error(error: BaseException, repo_id: str = "", file_name: str = "", suggestion: str = "") -> HubError:
    """The error that says `sentence` and a suggestion, of the kind that it is."""
    cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
    asked_wrongly = isinstance(cause, HfHubHTTPError) and cause.response.status_code in _ASKED_WRONGLY
    kind = NotOnHubError if asked_wrongly else HubError
    return kind(sentence(error, repo_id, file_name) + suggestion)


def _sentence(error: BaseException, repo_id: str, file_name: str) -> str:
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    cache = constants.HF_HUB_CACHE
    match error:
        case UnicodeEncodeError():
            return "the token for the Hugging Face Hub has characters that no token has; set HF_TOKEN anew"
        case OfflineModeIsEnabled() if file_name:
            return f"HF_HUB_OFFLINE is set, and the Hugging Face cache has no {file_name} of {repo_id}"
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set, so the Hugging Face Hub is not asked; unset it to go online"
        case FileMetadataError() | LocalEntryNotFoundError():
            return str(not_the_hub())
        case HfHubHTTPError():
            return _refusal(error, repo_id, file_name)
        case OSError() if error.errno in _DISK_FULL:
            return f"the disk of the Hugging Face cache {cache} is full; make room, or set HF_HOME"
        case OSError() if error.errno is not None and not isinstance(error, ConnectionError | TimeoutError):
            return (
                f"the Hugging Face cache {cache} cannot be used: {error.strerror}; "
                "set HF_HOME to a folder that you can write to"
            )
        case ValueError() | TypeError() | KeyError() | AttributeError() | RecursionError() if not file_name:
            return str(not_the_hub())
    return _failure(error, file_name)


def _refusal(error: HfHubHTTPError, repo_id: str, file_name: str) -> str:
    """What an answer of HTTP means, other than what was asked for."""
    host, status = endpoint(), error.response.status_code
    what = f"{file_name} of {repo_id}" if file_name else repo_id or "the search"
    if isinstance(error, GatedRepoError):
        return (
            f"{repo_id} is gated ({status}); accept its terms on its page at {host}, "
            "and set HF_TOKEN to a token of that account"
        )
    match status:
        case 401:
            missing = repo_id or "such page"
            return f"{host} has no {missing}, or wants a login for it (401); check its name and HF_TOKEN"
        case 403:
            return f"{host} does not let you have {what} (403); ask for access on its page, and set HF_TOKEN"
        case 404 if file_name and not isinstance(error, RepositoryNotFoundError):
            return f"{host} has no {file_name} in {repo_id} (404)"
        case 404:
            return f"{host} has no {repo_id or 'search'} (404); check its name"
        case 429:
            return f"{host} is asked too often from here (429); try again {_later(error)}"
    if status >= 500:
        return f"{host} has a fault of its own ({status}); try again {_later(error)}"
    return f"{host} refuses {what} ({status})"


def _later(error: HfHubHTTPError) -> str:
    """When the Hub says that it can be asked again."""
    told = error.response.headers.get("Retry-After", "")
    seconds = int(told) if re.fullmatch(r"[0-9]{1,6}", told) else 0
    if not 0 < seconds <= _LONGEST_WAIT:
        return "later"
    return f"in {seconds} seconds" if seconds < 120 else f"in {-(-seconds // 60)} minutes"


def _failure(error: BaseException, file_name: str) -> str:
    """What a connection died of."""
    host = endpoint()
    # Of httpx or of httpx2, depending on the version of huggingface_hub, which shows neither.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    reason = (
        re.sub(r"^\[Errno -?\d+\] ", "", str(error).partition("\n")[0]).rstrip(".") or type(error).__name__
    )
    if "TimeoutException" in kinds:
        return f"{host} did not answer in time"
    if kinds & {"ConnectError", "ProxyError"}:
        return f"{host} cannot be reached: {reason}"
    if "TransportError" in kinds or isinstance(error, OSError):
        if not file_name:
            return f"the connection to {host} was cut off; try again"
        return f"the download of {file_name} from {host} was cut off; try again, and it goes on from there"
    return f"{file_name or 'this'} cannot be fetched from {host}: {reason}"
