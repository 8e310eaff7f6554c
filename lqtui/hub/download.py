"""Fetching one file of a Hub repository into the Hub's own cache, which other tools share.

The library throws away what a broken download has brought, and looks at no digest. So the bytes are fetched
here, by the library's own function, into the `.incomplete` file that its earlier versions kept; what is whole
and has the digest that the Hub tells becomes a blob of the cache, and the library makes the rest of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from huggingface_hub import (
    constants,
    file_download,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import FileMetadataError, HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

import lqtui
from lqtui.hub.address import endpoint, is_hub
from lqtui.hub.errors import HubError
from lqtui.hub.names import SHA256, require_repository, require_usable
from lqtui.hub.sentences import hub_error
from lqtui.hub.session import guard
from lqtui.hub.values import HubFile
from lqtui.system.disk import free_space

RepoType = Literal["model", "dataset", "space"]

OnProgress = Callable[[str, int, int], None]
"""Told of the stage (`downloading`, `checking`, `waiting`), of the bytes done, and of how many it will be."""

_STEP_BYTES = 1 << 16
"""The library's own 10 MiB would leave a person on a slow line without a sign of life for minutes."""
_READ_BYTES = 8 << 20
_TELL_SECONDS = 0.1
_SPACE_MARGIN = 128 << 20
"""Bytes that stay free on the cache's disk."""
_NOT_SATISFIABLE = 416
_LOCK_SECONDS = 0.5
_GROWN_SECONDS = 1.0
_NEWEST = "main"


class _Wanted(NamedTuple):
    """One version of a file, as the Hub tells of it."""

    repo_id: str
    file_name: str
    repo_type: RepoType
    commit: str
    etag: str
    bytes: int

    @property
    def sha256(self) -> str:
        """The digest of the content, empty where the Hub tells none."""
        return self.etag if SHA256.fullmatch(self.etag) else ""


def fetch_file(
    repo_id: str,
    file_name: str,
    on_progress: OnProgress,
    *,
    repo_type: RepoType = "model",
    commit: str = "",
    expected: HubFile | None = None,
) -> Path:
    """The newest version of a file on the Hub, downloaded unless the Hub's own cache has it.

    A download that was broken off goes on where it was. Where the Hub cannot be asked, the version in the
    cache is the newest. The library's environment variables (HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE
    and others) mean what they mean everywhere.

    Args:
        repo_id: The repository, owner/name.
        file_name: The file's path in it.
        on_progress: Told of each step.
        repo_type: What kind of repository it is.
        commit: The version of the repository that it must be of; by default whichever is the newest.
        expected: What an earlier list said of the file, which must still be so.

    Raises:
        HubError: The Hub does not give the file, and the cache does not have it; or what it gives is not what
            it tells of.
    """
    require_repository(repo_id)
    require_usable(file_name)
    guard()
    constants.DOWNLOAD_CHUNK_SIZE = _STEP_BYTES
    file: dict[str, Any] = {"repo_id": repo_id, "filename": file_name, "repo_type": repo_type}
    try:
        try:
            wanted = _ask(file)
        except Exception:  # hf_hub_download itself would go on asking for half a minute
            with contextlib.suppress(LocalEntryNotFoundError):
                return Path(hf_hub_download(**file, revision=commit or None, local_files_only=True))
            raise
        _refuse_changed(wanted, commit, expected)
        return _cached(wanted) or _linked(wanted, _fetch_blob(wanted, on_progress))
    except HubError:
        raise
    except Exception as error:  # of three libraries, some of them without a common base
        raise hub_error(error, repo_id, file_name) from error


def partial_file(repo_id: str, etag: str, repo_type: RepoType = "model") -> Path:
    """Where the bytes of a broken download of some content are kept."""
    return _blob(repo_id, etag, repo_type).with_name(f"{etag}.incomplete")


def cache_directory() -> Path:
    """The folder of the Hub's cache."""
    return Path(constants.HF_HUB_CACHE).expanduser().absolute()


def require_room(n_bytes: int, what: str) -> None:
    """Refuse to begin what the disk of the cache has no room for."""
    cache = cache_directory()
    free = free_space(cache)
    if n_bytes + _SPACE_MARGIN > free:
        raise HubError(
            f"{what} needs {_size(n_bytes)} and some to spare, but only {_size(free)} are free on the disk "
            f"of the Hugging Face cache {cache}; make room, or set HF_HOME"
        )


def _ask(file: dict[str, Any]) -> _Wanted:
    metadata = get_hf_file_metadata(hf_hub_url(**file))
    if metadata.commit_hash is None or metadata.etag is None or metadata.size is None or metadata.size < 0:
        raise FileMetadataError("no version, digest or size")
    return _Wanted(
        file["repo_id"],
        file["filename"],
        file["repo_type"],
        metadata.commit_hash,
        metadata.etag,
        metadata.size,
    )


def _refuse_changed(wanted: _Wanted, commit: str, expected: HubFile | None) -> None:
    is_other = commit not in ("", wanted.commit) or (
        expected is not None
        and (wanted.bytes != expected.bytes or (expected.sha256 and wanted.sha256 != expected.sha256))
    )
    if is_other:
        raise HubError(
            f"{wanted.repo_id} has another {wanted.file_name} by now than its list told of; list it again"
        )


def _blob(repo_id: str, etag: str, repo_type: RepoType) -> Path:
    folder = file_download.repo_folder_name(repo_id=repo_id, repo_type=repo_type)
    return cache_directory() / folder / "blobs" / etag


def _cached(wanted: _Wanted) -> Path | None:
    """Where the cache has this version of a file, None where that is not the content that is told of."""
    found = try_to_load_from_cache(
        wanted.repo_id, wanted.file_name, repo_type=wanted.repo_type, revision=wanted.commit
    )
    if not isinstance(found, str):
        return None
    path = Path(found)
    is_other = path.is_symlink() and path.readlink().name != wanted.etag
    if is_other or path.stat().st_size != wanted.bytes:
        return None
    _mark_newest(wanted)
    return path


def _linked(wanted: _Wanted, blob: Path) -> Path:
    """Give a content its name in the cache; asked to, the library would first ask the Hub once more.

    What the Hub told of then would not be what was verified.
    """
    path = blob.parent.parent / "snapshots" / wanted.commit / wanted.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    file_download._create_symlink(str(blob), str(path), new_blob=False)
    _mark_newest(wanted)
    return path


def _mark_newest(wanted: _Wanted) -> None:
    repository = _blob(wanted.repo_id, wanted.etag, wanted.repo_type).parent.parent
    file_download._cache_commit_hash_for_specific_revision(str(repository), _NEWEST, wanted.commit)


def _fetch_blob(wanted: _Wanted, on_progress: OnProgress) -> Path:
    """Bring a file's content into the cache, under the lock that the library takes for it too."""
    blob = _blob(wanted.repo_id, wanted.etag, wanted.repo_type)
    lock = cache_directory() / ".locks" / blob.parent.parent.name / f"{wanted.etag}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(WeakFileLock(lock, timeout=_LOCK_SECONDS))
                break
            except TimeoutError:
                on_progress("waiting", 0, wanted.bytes)  # each time: whoever hears nothing would give up
        if blob.is_file() and blob.stat().st_size == wanted.bytes:
            return blob
        partial = partial_file(wanted.repo_id, wanted.etag, wanted.repo_type)
        if wanted.bytes > constants.MAX_HTTP_DOWNLOAD_SIZE:
            _fill_in_pieces(partial, wanted, on_progress)
            _verify(partial, wanted, on_progress)
        else:
            _fill_and_verify(partial, wanted, on_progress)
        partial.replace(blob)
    return blob


def _fill_and_verify(partial: Path, wanted: _Wanted, on_progress: OnProgress) -> None:
    """Download what a partial file lacks; where what it had turns out to be damaged, all of it anew.

    A power cut leaves zeros in place of what was not flushed, and looking for that takes as long as a digest.
    """
    goes_on = partial.exists()
    _fill(partial, wanted, on_progress)
    try:
        _verify(partial, wanted, on_progress)
    except HubError:
        if not goes_on:
            raise
        _fill(partial, wanted, on_progress)
        _verify(partial, wanted, on_progress)


def _fill(partial: Path, wanted: _Wanted, on_progress: OnProgress) -> None:
    """Download what a partial file lacks of its content; what came stays in it, however this ends."""
    with partial.open("r+b" if partial.exists() else "w+b") as file:
        start = file.seek(0, os.SEEK_END)
        if start > wanted.bytes:
            start = file.truncate(0) or file.seek(0)
        require_room(wanted.bytes - start, wanted.file_name)
        on_progress("downloading", start, wanted.bytes)
        try:
            _get(file, start, wanted, on_progress)
        except HfHubHTTPError as error:
            if error.response.status_code != _NOT_SATISFIABLE or not start:
                raise
            file.truncate(0)
            file.seek(0)
            _get(file, 0, wanted, on_progress)
        file.flush()
        os.fsync(file.fileno())


def _fill_in_pieces(partial: Path, wanted: _Wanted, on_progress: OnProgress) -> None:
    """Download what the Hub gives in pieces alone, which the library knows to put together.

    What fetches them sends the token with every request for a new permit, past `session.guard`.
    """
    pieces = get_hf_file_metadata(_url(wanted)).xet_file_data
    if pieces is None or not is_hub(pieces.refresh_route):
        raise HubError(
            f"{endpoint()} does not say where the pieces of {wanted.file_name} are; try again later"
        )
    require_room(wanted.bytes, wanted.file_name)
    on_progress("downloading", 0, wanted.bytes)
    with _told_as_it_grows(partial, wanted.bytes, on_progress):
        file_download.xet_get(
            incomplete_path=partial,
            xet_file_data=pieces,
            headers=build_hf_headers(library_name="lqtui", library_version=lqtui.__version__),
            expected_size=wanted.bytes,
        )
    if partial.stat().st_size != wanted.bytes:
        partial.unlink()
        raise HubError(f"{wanted.file_name} came with another size than the Hub tells of; it is not used")


@contextlib.contextmanager
def _told_as_it_grows(partial: Path, size: int, on_progress: OnProgress) -> Iterator[None]:
    """Tell of a file that other code writes, as long as there comes more of it."""
    done = threading.Event()

    def tell() -> None:
        last = 0
        while not done.wait(_GROWN_SECONDS):
            with contextlib.suppress(OSError):
                now = min(size, partial.stat().st_blocks * 512)  # its end may be written first
                if now > last:
                    on_progress("downloading", last := now, size)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _url(wanted: _Wanted) -> str:
    return hf_hub_url(wanted.repo_id, wanted.file_name, repo_type=wanted.repo_type, revision=wanted.commit)


def _get(file: Any, start: int, wanted: _Wanted, on_progress: OnProgress) -> None:
    bar: Any = _bar(wanted.bytes, on_progress)
    try:
        file_download.http_get(
            _url(wanted),
            file,
            resume_size=start,
            headers=build_hf_headers(library_name="lqtui", library_version=lqtui.__version__),
            expected_size=wanted.bytes,
            tqdm_class=bar,
        )
    except _TooLongError:
        file.truncate(0)
        raise HubError(
            f"{wanted.file_name} is longer than the {wanted.bytes:,} bytes that the Hub tells of; "
            "it is not used"
        ) from None


def _verify(partial: Path, wanted: _Wanted, on_progress: OnProgress) -> None:
    """Compare a whole file with its digest; what differs is removed."""
    if not wanted.sha256:
        return
    digest, done = hashlib.sha256(), 0
    with partial.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
            done += len(piece)
            on_progress("checking", done, wanted.bytes)
    if digest.hexdigest() != wanted.sha256:
        partial.unlink()
        raise HubError(
            f"{wanted.file_name} came with the digest {digest.hexdigest()[:12]}… in place of "
            f"{wanted.sha256[:12]}…; it was damaged on its way and is removed; try again"
        )


class _TooLongError(Exception):
    """More bytes came than the file has."""


def _bar(size: int, on_progress: OnProgress) -> type:
    """A class that the library can use in place of a tqdm bar, and that tells `on_progress`."""

    class Bar:
        def __init__(self, *_: object, initial: int = 0, **__: object) -> None:
            self.n = initial
            self._told = 0.0

        def update(self, step: int = 1) -> None:
            """More bytes are in the file; fewer, where a download has to start anew."""
            self.n += step
            if self.n > size:
                raise _TooLongError
            now = time.monotonic()
            if self.n == size or now - self._told >= _TELL_SECONDS:
                self._told = now
                on_progress("downloading", self.n, size)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> None:
            """Nothing is drawn."""

    return Bar


def _size(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 30):.1f} GiB" if n_bytes >= 1 << 30 else f"{n_bytes / (1 << 20):.1f} MiB"
