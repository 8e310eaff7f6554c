"""What went wrong with the Hub, in one sentence for the person."""

from __future__ import annotations

import errno
import re
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import (
    FileMetadataError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


def sentence(error: BaseException, repo_id: str, file_name: str) -> str:
    """Why a file of a repository could not be fetched, and what to do about it."""
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    host = urlsplit(constants.ENDPOINT).netloc or constants.ENDPOINT
    cache = constants.HF_HUB_CACHE
    match error:
        case OfflineModeIsEnabled():
            return f"HF_HUB_OFFLINE is set, and the Hugging Face cache has no {file_name} of {repo_id}"
        case FileMetadataError() | LocalEntryNotFoundError():
            return f"{host} does not answer as the Hugging Face Hub does; a login page may be in between"
        case HfHubHTTPError():
            return _refusal(error.response.status_code, host, repo_id, file_name)
        case OSError() if error.errno in _DISK_FULL:
            return f"the disk of the Hugging Face cache {cache} is full; make room, or set HF_HOME"
        case OSError() if error.errno is not None and not isinstance(error, ConnectionError | TimeoutError):
            return (
                f"the Hugging Face cache {cache} cannot be used: {error.strerror}; "
                "set HF_HOME to a folder that you can write to"
            )
    return _failure(error, host, file_name)


def _refusal(status: int, host: str, repo_id: str, file_name: str) -> str:
    """What an answer of HTTP means, other than the file."""
    match status:
        case 401:
            return f"{host} has no {repo_id}, or wants a login for it (401); check its name and HF_TOKEN"
        case 403:
            return (
                f"{host} does not let you have {repo_id} (403); ask for access on its page, and set HF_TOKEN"
            )
        case 404:
            return f"{host} has no {file_name} in {repo_id} (404)"
        case 429:
            return f"{host} is asked too often from here (429); try again later"
    if status >= 500:
        return f"{host} has a fault of its own ({status}); try again later"
    return f"{host} refuses {file_name} of {repo_id} ({status})"


def _failure(error: BaseException, host: str, file_name: str) -> str:
    """What a connection died of."""
    # Of httpx or of httpx2, depending on the version of huggingface_hub, which shows neither.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error).partition("\n")[0]) or type(error).__name__
    if "TimeoutException" in kinds:
        return f"{host} did not answer in time"
    if kinds & {"ConnectError", "ProxyError"}:
        return f"{host} cannot be reached: {reason}"
    if "TransportError" in kinds or isinstance(error, OSError):
        return f"the download of {file_name} from {host} was cut off; try again"
    return f"{file_name} cannot be fetched from {host}: {reason}"
