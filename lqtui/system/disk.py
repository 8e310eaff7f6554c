"""How much room a disk has, and what its times mean."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC).timestamp(), datetime(9999, 12, 30, tzinfo=UTC).timestamp()


def free_space(path: Path) -> int:
    """Return the bytes that can be written at `path`, a file or folder, there or not.

    Raises:
        OSError: the disk cannot be asked.
    """
    return shutil.disk_usage(nearest_existing(path)).free


def disk_size(path: Path) -> int:
    """Return the bytes that the disk of `path`, a file or folder, there or not, has in all.

    Raises:
        OSError: the disk cannot be asked.
    """
    return shutil.disk_usage(nearest_existing(path)).total


def mount_point(path: Path) -> Path:
    """Return the folder under which the disk of `path` hangs."""
    path = nearest_existing(path)
    while not path.is_mount() and path != path.parent:
        path = path.parent
    return path


def date_of(timestamp: float) -> datetime:
    """Return a file's time in UTC, the nearest to it where a disk tells of a year that no calendar has."""
    return datetime.fromtimestamp(min(max(timestamp, _FIRST), _LAST), tz=UTC)


def nearest_existing(path: Path) -> Path:
    """Return `path`, or the closest folder above it that exists."""
    path = path.absolute()
    return next((place for place in (path, *path.parents) if _exists(place)), Path(path.anchor))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder above it may not be searched
        return False
