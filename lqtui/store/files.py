"""Writing files so that a full disk or a killed process leaves nothing half-written."""

import contextlib
import errno
import glob
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from lqtui.store.errors import StoreError
from lqtui.store.paths import is_directory
from lqtui.system.disk import free_space, mount_point

SPACE_MARGIN = 128 * 1024**2
"""Bytes that stay free on a disk after everything lqtui plans to write there."""

PARTIAL_SUFFIX = ".part"
"""Ends the name of a file that is still being written."""

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
    temporary = path.with_name(f"{_partial_prefix(path, os.getpid())}{secrets.token_hex(6)}{PARTIAL_SUFFIX}")
    try:
        # Not tempfile: its files are private for ever, and these should get the person's usual permissions.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileNotFoundError:
        raise StoreError(
            f"{path} cannot be written, because the folder {path.parent} does not exist."
        ) from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        yield temporary
        if durable:
            _flush(temporary)
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
    if durable:
        _flush_directory(path.parent)


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


def _partial_prefix(path: Path, writer: int) -> str:
    """Return how the names of the files begin that a process writes in the place of `path`."""
    return f".{path.name[:100]}.{writer}-"


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_directory(path: Path) -> None:
    # The rename survives a power cut only when its folder is flushed, and not every system can open a folder.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
