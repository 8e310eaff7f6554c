"""Fetching one file of a Hub repository into the Hub's own cache, which other tools share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import LocalEntryNotFoundError

import lqtui
from lqtui.hub.errors import HubError
from lqtui.hub.sentences import sentence

RepoType = Literal["model", "dataset", "space"]

OnProgress = Callable[[int, int], None]
"""Told of the bytes that are there, and of how many it will be."""

_STEP_BYTES = 1 << 16
"""The library's own 10 MiB would leave a person on a slow line without a sign of life for minutes."""
_TELL_SECONDS = 0.1


def fetch_file(
    repo_id: str, file_name: str, on_progress: OnProgress, *, repo_type: RepoType = "model"
) -> Path:
    """The newest version of a file on the Hub, downloaded unless the Hub's own cache has it.

    Where the Hub cannot be asked, the version in the cache is the newest. The library's environment variables
    (HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and others) mean what they mean everywhere.

    Raises:
        HubError: The Hub does not give the file, and the cache does not have it.
    """
    constants.DOWNLOAD_CHUNK_SIZE = _STEP_BYTES
    file: dict[str, Any] = {"repo_id": repo_id, "filename": file_name, "repo_type": repo_type}
    try:
        try:
            get_hf_file_metadata(hf_hub_url(**file))
        except Exception:  # hf_hub_download itself would go on asking for half a minute
            with contextlib.suppress(LocalEntryNotFoundError):
                return Path(hf_hub_download(**file, local_files_only=True))
            raise
        bar: Any = _bar(on_progress)
        return Path(
            hf_hub_download(**file, tqdm_class=bar, library_name="lqtui", library_version=lqtui.__version__)
        )
    except Exception as error:  # of three libraries, some of them without a common base
        raise HubError(sentence(error, repo_id, file_name)) from error


def _bar(on_progress: OnProgress) -> type:
    """A class that the library can use in place of a tqdm bar, and that tells `on_progress`."""

    class Bar:
        def __init__(self, *_: object, total: int | None = None, initial: int = 0, **__: object) -> None:
            self.total = total
            self.n = initial
            self._received = initial
            self._told = 0.0

        def update(self, size: int = 1) -> None:
            """More bytes are in the file; fewer, where a download has to start anew."""
            self.n += size
            self._tell()

        def update_transfer(self, size: int) -> None:
            """More bytes have come from the network, which with Xet is long before they are in the file."""
            self._received += size
            self._tell()

        def _tell(self) -> None:
            total = self.total or 0
            now = time.monotonic()
            if self.n >= total or now - self._told >= _TELL_SECONDS:
                self._told = now
                on_progress(max(self.n, min(self._received, total)), total)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> None:
            """Nothing is drawn."""

        def set_postfix_str(self, *_: object, **__: object) -> None:
            """Nothing is drawn."""

        def set_transfer_postfix_str(self, *_: object, **__: object) -> None:
            """Nothing is drawn."""

        def refresh(self, *_: object, **__: object) -> None:
            """Nothing is drawn."""

    return Bar
