"""WikiText-2, the text that perplexities are usually quoted on, from where llama.cpp's scripts have it."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from lqtui.hub.download import OnProgress, fetch_file
from lqtui.hub.errors import HubError

REPOSITORY = "ggml-org/ci"
ARCHIVE = "wikitext-2-raw-v1.zip"
MEMBER = "wikitext-2-raw/wiki.test.raw"

_LARGEST = 16 << 20
"""Bytes; the real text has 1.3 million."""


def wikitext_2_test(on_progress: OnProgress) -> bytes:
    """The raw test set of WikiText-2, UTF-8 text; the archive stays in the Hub's own cache.

    Raises:
        HubError: It cannot be fetched, or what came is something else.
    """
    archive = fetch_file(REPOSITORY, ARCHIVE, on_progress, repo_type="dataset")
    try:
        text = _member(archive)
        text.decode("utf-8")
    except UnicodeDecodeError:
        raise HubError(f"{MEMBER} in {archive} is not UTF-8 text") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise HubError(
            f"{archive} is not the archive that it should be ({error}); delete it, to have it fetched anew"
        ) from None
    return text


def _member(archive: Path) -> bytes:
    """The bytes of the text, read without unpacking anything to a path that the archive names."""
    with zipfile.ZipFile(archive) as opened:
        try:
            member = opened.getinfo(MEMBER)
        except KeyError:
            raise HubError(f"{archive} has no {MEMBER}") from None
        if not 0 < member.file_size <= _LARGEST:
            raise HubError(f"{MEMBER} in {archive} would have {member.file_size:,} bytes")
        return opened.read(member)
