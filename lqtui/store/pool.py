"""The pool: every tensor of a model quantized once per type, in the cache folder.

    pool/<model digest>/<engine>/entry.json
    pool/<model digest>/<engine>/<type>/<tensor>.gguf
    pool/locks/<model digest>.<engine>.lock
    pool/locks/<model digest>.<engine>.use

A lock lies outside the folder it guards, so that a pruned entry never takes its lock along. The first is held
by the one job that writes or opens files of the entry, the second by all that have some open.
"""

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from lqtui.store.errors import InUseError, StoreError
from lqtui.store.files import PARTIAL_SUFFIX, atomic_write, require_space
from lqtui.store.locks import file_lock, shared_lock
from lqtui.store.paths import make_directory
from lqtui.store.reading import read_at_most
from lqtui.system.disk import date_of

__all__ = ["Pool", "PoolEntry", "PoolModel", "Pruned", "atomic_write", "require_space", "safe_name"]

SCRATCH_PREFIX = "holes-"
"""Begins the names of folders in an entry that are of use only to the process that made them."""

_ABOUT = "entry.json"
_LARGEST_ABOUT = 1 << 16
_LOCKS = "locks"
# Lower case alone, because some file systems do not tell `Blk` from `blk`.
_PLAIN_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,98}[a-z0-9_-])?")
_READABLE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_RESERVED_ON_WINDOWS = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")


class _About(msgspec.Struct, frozen=True):
    """What `entry.json` says: the names that the folders could not keep."""

    model_digest: str
    engine: str
    label: str = ""


@dataclass(frozen=True)
class PoolModel:
    """One entry of the pool, as `lqtui cache` lists it."""

    model_digest: str
    engine: str
    label: str
    """The model's name for a person, or an empty string."""
    bytes: int
    last_used: datetime
    """In UTC."""


@dataclass(frozen=True)
class Pruned:
    """What a prune did."""

    removed: tuple[PoolModel, ...]
    in_use: tuple[PoolModel, ...]
    """Entries that were to go but are locked by a running lqtui, and stay."""

    @property
    def bytes(self) -> int:
        """The bytes that were freed."""
        return sum(model.bytes for model in self.removed)


@dataclass(frozen=True)
class PoolEntry:
    """The quantized tensors of one model by one engine."""

    model_digest: str
    engine: str
    directory: Path
    label: str = ""

    def path(self, tensor_type: str, tensor_name: str) -> Path:
        """Return the file, there or not, of a tensor (or group of tensors) at a type in either case."""
        return self.directory / safe_name(tensor_type.lower()) / f"{safe_name(tensor_name)}.gguf"

    @contextlib.contextmanager
    def lock(
        self, *, timeout: float | None = None, on_wait: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Hold the entry alone, its folder made and cleared of what a killed job left half-written.

        Files of the entry are written only while it is held, and opened, so that none is removed meanwhile;
        what is open may be read without it. Taking it counts as use.

        Args:
            timeout: Seconds to wait for another holder; None waits without end.
            on_wait: Called once when the wait begins.

        Raises:
            InUseError: the wait timed out.
            StoreError: the folder cannot be made.
        """
        name = self.label or self.model_digest[:12]
        with file_lock(
            self._lock_file("lock"), f"the quantized tensors of {name}", timeout=timeout, on_wait=on_wait
        ):
            if _leads_elsewhere(self.directory):
                raise StoreError(
                    f"{self.directory} is a link to elsewhere, where lqtui writes nothing. Remove the link."
                )
            make_directory(self.directory)
            for partial in self.directory.rglob(f".*{PARTIAL_SUFFIX}"):
                partial.unlink(missing_ok=True)
            for scratch in self.directory.glob(f"{SCRATCH_PREFIX}*"):
                shutil.rmtree(scratch, ignore_errors=True)  # of a killed job, or of one that has it open
            self._note_use()
            yield

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the entry's files from being removed, beside other jobs that do, as long as a job lasts.

        Raises:
            StoreError: the lock cannot be made.
        """
        with shared_lock(self._lock_file("use"), f"the quantized tensors of {self.label}"):
            yield

    @contextlib.contextmanager
    def unused(self) -> Iterator[None]:
        """Hold the entry while no job uses it, to remove files; InUseError at once where one does."""
        locks = self._lock_file("lock"), self._lock_file("use")
        with file_lock(locks[0], "it", timeout=0), file_lock(locks[1], "it", timeout=0):
            yield

    def note_use(self, paths: Iterable[Path]) -> None:
        """Note that files of the entry are used now, for those to go first that were not for longest."""
        for folder in {path.parent for path in paths}:
            with contextlib.suppress(OSError):
                os.utime(folder)

    def size(self) -> int:
        """Return the bytes of the entry's files."""
        return _tree_size(self.directory)

    def _lock_file(self, kind: str) -> Path:
        model, engine = self.directory.parent, self.directory
        return model.parent / _LOCKS / f"{model.name}.{engine.name}.{kind}"

    def _note_use(self) -> None:
        # The file's time of change is the time of last use; the file systems' own access times are often off.
        about = _About(self.model_digest, self.engine, self.label or _read_about(self.directory).label)
        with atomic_write(self.directory / _ABOUT) as temporary:
            temporary.write_bytes(msgspec.json.encode(about))


class Pool:
    """All entries under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entry(self, model_digest: str, engine: str, label: str = "") -> PoolEntry:
        """Return the entry of a model and an engine, there or not.

        Args:
            model_digest: The SHA-256 of the model's file.
            engine: The llama.cpp build: another build may write other bytes.
            label: A name for the model that a person knows, kept for listings.
        """
        directory = self.root / safe_name(model_digest) / safe_name(engine)
        return PoolEntry(model_digest, engine, directory, label)

    def size(self) -> int:
        """Return the bytes of all entries."""
        return sum(entry.size() for entry in self._entries())

    def models(self) -> list[PoolModel]:
        """Return what the pool holds, the most recently used first."""
        found = [_listed(entry) for entry in self._entries()]
        return sorted(found, key=lambda model: model.last_used, reverse=True)

    def keep_to(self, limit: int) -> int:
        """Remove what was not used for longest until the pool is no larger than `limit` bytes.

        Folder by folder, of which an entry has one for each encoding; those of an entry that a job uses stay.
        Returns how many bytes were freed. What cannot be removed stays, too.
        """
        entries = list(self._entries())
        folders = [
            (_last_used(folder), _tree_size(folder), folder, entry)
            for entry in entries
            for folder in entry.directory.glob("*/")
        ]
        over = sum(size for _, size, _, _ in folders) - limit
        freed = 0
        for used, size, folder, entry in sorted(folders, key=lambda listed: (listed[0], listed[2])):
            if freed >= over:
                break
            with contextlib.suppress(StoreError), entry.unused():
                if _last_used(folder) == used:  # else it was used since
                    shutil.rmtree(folder, ignore_errors=True)
                    freed += size - _tree_size(folder)
        if freed:
            self._remove_empty(entries)
        return freed

    def _remove_empty(self, entries: Iterable[PoolEntry]) -> None:
        for entry in entries:
            if not any(entry.directory.glob("*/")):
                with contextlib.suppress(StoreError):
                    _remove(entry)

    def prune(
        self,
        *,
        keep_bytes: int | None = None,
        older_than: timedelta | None = None,
        model: str | None = None,
    ) -> Pruned:
        """Remove whole entries that no running lqtui holds.

        Args:
            keep_bytes: Remove the least recently used until the pool is no larger than this.
            older_than: Remove only what was not used for this long.
            model: Remove only the model with this label, or whose digest begins with this.

        Raises:
            ValueError: no argument was given.
            StoreError: a file cannot be removed.
        """
        if keep_bytes is None and older_than is None and model is None:
            raise ValueError("prune needs keep_bytes, older_than or model")
        removed, in_use = [], []
        total = self.size()
        before = datetime.now(UTC) - older_than if older_than is not None else None
        entries = sorted(
            ((_listed(entry), entry) for entry in self._entries()), key=lambda pair: pair[0].last_used
        )
        for listed, entry in entries:
            if keep_bytes is not None and total <= keep_bytes:
                break
            if before is not None and listed.last_used > before:
                continue
            if model is not None and not _is_called(listed, model):
                continue
            if _remove(entry):
                removed.append(listed)
                total -= listed.bytes
            else:
                in_use.append(listed)
        return Pruned(tuple(removed), tuple(in_use))

    def _entries(self) -> Iterator[PoolEntry]:
        for directory in sorted(self.root.glob("*/*")):
            is_entry = directory.parent.name != _LOCKS and directory.is_dir()
            if is_entry and not _leads_elsewhere(directory):
                about = _read_about(directory)
                yield PoolEntry(about.model_digest, about.engine, directory, about.label)


def _leads_elsewhere(directory: Path) -> bool:
    """Whether an entry's folder, or its model's, is a link, which lqtui never makes."""
    return directory.is_symlink() or directory.parent.is_symlink()


def safe_name(name: str) -> str:
    """Return a file name for `name` that no other name gets, safe in every folder and on every file system.

    Plain lower-case names stay as they are. In every other the odd characters are percent-encoded and a `~`
    with a hash of the name follows, so that names that differ in case, or only at their far end, stay apart.
    """
    if _PLAIN_NAME.fullmatch(name) and not _RESERVED_ON_WINDOWS.fullmatch(name):
        return name
    raw = name.encode("utf-8", "surrogatepass")
    readable = "".join(chr(byte) if byte in _READABLE else f"%{byte:02x}" for byte in raw[:40])
    return f"{readable}~{hashlib.sha256(raw).hexdigest()[:24]}"


def _is_called(listed: PoolModel, model: str) -> bool:
    return bool(model) and (listed.label == model or listed.model_digest.startswith(model))


def _listed(entry: PoolEntry) -> PoolModel:
    try:
        used = (entry.directory / _ABOUT).stat().st_mtime
    except OSError:
        used = _modified(entry.directory)
    return PoolModel(entry.model_digest, entry.engine, entry.label, entry.size(), date_of(used))


def _modified(directory: Path) -> float:
    try:
        return directory.stat().st_mtime
    except OSError:
        return time.time()


def _last_used(folder: Path) -> float:
    """When a folder of an entry was used, or a file below it was written, the last time."""
    return max([_modified(folder), *(_modified(path) for path in folder.rglob("*"))])


def _read_about(directory: Path) -> _About:
    try:
        return msgspec.json.decode(read_at_most(directory / _ABOUT, _LARGEST_ABOUT), type=_About)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _About(directory.parent.name, directory.name)


def _remove(entry: PoolEntry) -> bool:
    """Remove an entry's folder, unless a running lqtui holds its lock."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(entry.unused())
        except InUseError:
            return False
        try:
            shutil.rmtree(entry.directory)
            with contextlib.suppress(OSError):
                entry.directory.parent.rmdir()  # empty unless another engine has an entry of the same model
        except OSError as error:
            raise StoreError(
                f"{error.filename or entry.directory} cannot be removed: {error.strerror}."
            ) from error
    return True


def _tree_size(directory: Path) -> int:
    """Bytes of the files in a folder, as far as another lqtui does not remove them meanwhile."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(folder, name).stat().st_size
    return total
