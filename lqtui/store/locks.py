"""A lock between processes, held through a file that the system releases when its holder dies."""

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lqtui.store.errors import InUseError, StoreError
from lqtui.store.paths import HOME_VARIABLE, make_directory

_POLL_SECONDS = 0.05
_ITSELF = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}

if sys.platform == "win32":
    import msvcrt

    # Locked far past the holder's process id, which others should be able to read.
    _LOCKED_BYTE = 1 << 20

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _release(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

    def _share(descriptor: int) -> None:
        """Nothing, as an open file cannot be removed here."""

    def mark_in_use(descriptor: int) -> None:
        """Nothing, as an open file can be neither removed nor renamed here."""

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _share(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH)

    def mark_in_use(descriptor: int) -> None:
        """Let others know that this process uses an open file, till it is closed or the process dies."""
        with contextlib.suppress(OSError):  # a disk that locks no files tells nobody, and nobody asks it
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def is_abandoned(descriptor: int) -> bool:
    """Whether no process uses an open file that was marked; False, too, where the disk cannot tell."""
    try:
        _take(descriptor)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def file_lock(
    path: Path,
    what: str,
    *,
    timeout: float | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the lock file `path` alone among all processes and threads.

    Args:
        path: The lock file, made where missing and never removed.
        what: What the lock guards, for the error's sentence: "the quantized tensors of X".
        timeout: Seconds to wait for another holder; None waits without end.
        on_wait: Called once when the lock is taken and the wait begins.

    Raises:
        InUseError: the wait timed out.
        StoreError: the file cannot be made or locked.
    """
    descriptor = _opened(path, what)
    try:
        _wait_for(descriptor, path, what, timeout, on_wait)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, str(os.getpid()).encode())
        try:
            yield
        finally:
            _release(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def shared_lock(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` together with all others that share it, and with none that has it alone.

    Waits for the one that has it. Raises StoreError where the file cannot be made or locked.
    """
    descriptor = _opened(path, what)
    try:
        try:
            _share(descriptor)
        except OSError as error:
            raise _cannot_lock(path, error) from error
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path, what: str) -> int:
    """Open a lock file, which is written to: never what a link leads to, nor a pipe or device."""
    make_directory(path.parent)
    named = f"{path}, the lock of {what},"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _ITSELF, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{named} is a link, not a file; remove it.") from error
        raise StoreError(f"{named} cannot be opened: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreError(f"{named} is not a file but a pipe or device; remove it.")
    return descriptor


def _cannot_lock(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"The disk of {path} cannot lock files ({error.strerror}). "
        f"Set {HOME_VARIABLE} to a folder on a local disk."
    )


def _wait_for(
    descriptor: int, path: Path, what: str, timeout: float | None, on_wait: Callable[[], None] | None
) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    told = False
    while True:
        try:
            return _take(descriptor)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise _cannot_lock(path, error) from error
        if deadline is not None and time.monotonic() >= deadline:
            raise InUseError(
                f"Another lqtui{_holder(path)} is using {what}. Wait for it to finish, or stop it."
            )
        if on_wait is not None and not told:
            told = True
            on_wait()
        time.sleep(_POLL_SECONDS)


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError):
        text = path.read_text(encoding="ascii", errors="replace").strip()
        if text.isdecimal():
            return f" (process {text})"
    return ""
