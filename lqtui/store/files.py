"""Writing files so that a full disk or a killed process leaves nothing half-written."""

import contextlib
import errno
import glob
import os
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from lqtui.store.errors import StoreError
from lqtui.store.locks import is_abandoned, mark_in_use
from lqtui.store.paths import flush_directory, is_directory
from lqtui.system.disk import free_space, mount_point

SPACE_MARGIN = 128 * 1024**2
"""Bytes that stay free on a disk after everything lqtui plans to write there."""

PARTIAL_SUFFIX = ".part"
"""Ends the name of a file that is still being written."""

_OURS = re.compile(rf"\..+\.\d+-[0-9a-f]{{12}}{re.escape(PARTIAL_SUFFIX)}")
_cleared: set[Path] = set()
"""The folders in which this process has looked for what killed ones left."""
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


def require_space(path: Path, needed_bytes: int) -> None:
    """Check that `needed_bytes` fit at `path` (a file or folder, there or not) with a margin to spare.

    Raises:
        StoreError: the disk is too full, or cannot be asked.
    """
    try:
        free = free_space(path)
    except OSError as error:
        raise StoreError(f"The free space for {path} cannot be read: {error.strerror}.") from error
    if needed_bytes + SPACE_MARGIN > free:
        raise StoreError(
            f"Writing to {path} needs {format_size(needed_bytes)} and {format_size(SPACE_MARGIN)} to spare, "
            f"but only {format_size(free)} are free on {mount_point(path)}. "
            "Make room (`lqtui cache` shows what lqtui itself holds) or choose another disk."
        )


@contextlib.contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give an empty temporary file beside `path` to write; it becomes `path` at the end, or goes on an error.

    Unless it is to be `durable`, a power cut may leave less than what was written; it then takes no time.

    Raises:
        StoreError: the folder cannot be written to, `path` is a folder, or the disk is full.
    """
    if is_directory(path):
        raise StoreError(f"{path} is a folder; give the name of a file.")
    remove_abandoned(path.parent)
    try:
        temporary, in_use = _begin(path)
    except FileNotFoundError:
        raise StoreError(
            f"{path} cannot be written, because the folder {path.parent} does not exist."
        ) from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        yield temporary
        if durable:
            flush(temporary)
        temporary.replace(path)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise StoreError(
                f"The disk {mount_point(path.parent)} became full while {path} was written; "
                "nothing of it was kept."
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
        in_use.close()
    if durable:
        flush_directory(path.parent)


def flush(path: Path) -> None:
    """Wait until what was written into a file outlives a power cut. Raises OSError."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def remove_partials(path: Path, writer: int) -> None:
    """Remove what the dead process `writer` left half-written of the file `path`, or below the folder."""
    if is_directory(path):
        found = path.rglob(f".*.{writer}-*{PARTIAL_SUFFIX}")
    else:
        found = path.parent.glob(f"{glob.escape(_partial_prefix(path, writer))}*{PARTIAL_SUFFIX}")
    with contextlib.suppress(OSError):
        for partial in list(found):
            partial.unlink(missing_ok=True)


def format_size(size: int) -> str:
    """Return `size` bytes for a person, in binary units: `94.2 MiB`."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{size} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _begin(path: Path) -> tuple[Path, contextlib.ExitStack]:
    """An empty file beside `path` that nobody else writes, and what to close when it is done with."""
    while True:
        prefix = _partial_prefix(path, os.getpid())
        temporary = path.with_name(f"{prefix}{secrets.token_hex(6)}{PARTIAL_SUFFIX}")
        # Not tempfile: its files are private for ever, and these should get the person's usual permissions.
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        in_use = contextlib.ExitStack()
        if sys.platform == "win32":  # where what is open cannot be renamed
            os.close(descriptor)
            return temporary, in_use
        in_use.callback(os.close, descriptor)
        mark_in_use(descriptor)
        if temporary.exists():
            return temporary, in_use
        in_use.close()  # another process took it for abandoned before it was marked


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder, once in the life of this process."""
    if sys.platform == "win32" or folder in _cleared:
        return
    _cleared.add(folder)
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - a Path for each file of a large folder takes long
            if _OURS.fullmatch(name):
                _remove_if_abandoned(folder / name)


def _remove_if_abandoned(partial: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(partial, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if is_abandoned(descriptor):
                partial.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _partial_prefix(path: Path, writer: int) -> str:
    """Return how the names of the files begin that a process writes in the place of `path`."""
    return f".{path.name[:100]}.{writer}-"
