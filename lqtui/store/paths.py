"""Where lqtui keeps its files."""

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import platformdirs

from lqtui.store.errors import StoreError

HOME_VARIABLE = "LQTUI_HOME"


@dataclass(frozen=True)
class Paths:
    """The folders of one person's lqtui; none is made before something is written into it."""

    cache: Path
    """What can be made again: quantized tensors."""
    data: Path
    """What cannot: results and recipes."""
    state: Path
    """What the app remembers between runs."""
    logs: Path
    """One log per job."""
    config: Path
    """What the person writes: settings."""

    @classmethod
    def from_environment(cls) -> Self:
        """Return the folders under `$LQTUI_HOME` where it is set, else the platform's own.

        Raises:
            StoreError: neither is there.
        """
        home = os.environ.get(HOME_VARIABLE, "")
        if home:
            return cls.under(Path(home))
        directories = platformdirs.PlatformDirs("lqtui", appauthor=False)
        try:
            return cls(
                cache=directories.user_cache_path,
                data=directories.user_data_path,
                state=directories.user_state_path,
                logs=directories.user_log_path,
                config=directories.user_config_path,
            )
        except RuntimeError:
            raise StoreError(
                f"This account has no home folder; set {HOME_VARIABLE} to a folder that lqtui can write to."
            ) from None

    @classmethod
    def under(cls, home: Path) -> Self:
        """Return the folders that lie together under `home`."""
        home = Path(os.path.abspath(expanded(home)))  # noqa: PTH100 - absolute, but a symlink stays one
        names = ("cache", "data", "state", "logs", "config")
        return cls(**{name: home / name for name in names})

    @property
    def pool(self) -> Path:
        """The folder of quantized tensors."""
        return self.cache / "pool"

    @property
    def results_db(self) -> Path:
        """The database of measured results."""
        return self.data / "results.sqlite3"

    @property
    def settings_file(self) -> Path:
        """What the person prefers; it need not be there."""
        return self.config / "settings.toml"


def expanded(path: Path) -> Path:
    """Return a path that a person typed as an absolute one; a `~name` that nobody has stays as it is."""
    return from_home(path).absolute()


def from_home(path: str | Path) -> Path:
    """Return a path with its `~` replaced; a `~name` that nobody has stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_directory(path: Path) -> bool:
    """Return whether `path` is a folder; what cannot be asked for, such as too long a name, is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_special(path: Path) -> bool:
    """Return whether `path` is a pipe, a device or a socket: to open one can block, and reading never end.

    Raises:
        OSError: it cannot be asked for, because the name is too long, or its links go in a circle.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def make_directory(path: Path) -> Path:
    """Make the folder `path` and its parents where they are missing, and return it.

    Raises:
        StoreError: it cannot be made.
    """
    new = [folder for folder in (path, *path.parents) if not is_directory(folder)]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise StoreError(
            f"{path} cannot be a folder, because a file has its name, or that of a folder above it. "
            f"Move the file, or set {HOME_VARIABLE} to another folder."
        ) from None
    except OSError as error:
        raise StoreError(
            f"The folder {path} cannot be made: {error.strerror}. "
            f"Set {HOME_VARIABLE} to a folder that you can write to."
        ) from error
    for folder in new:
        flush_directory(folder.parent)
    return path


def flush_directory(path: Path) -> None:
    """Wait until the names in a folder outlive a power cut: new, renamed and removed ones."""
    with contextlib.suppress(OSError):  # not every system can open a folder
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
