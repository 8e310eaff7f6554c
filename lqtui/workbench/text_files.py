"""Small files that people name: recipes read, recipes, scripts and reports written, errors as sentences."""

from __future__ import annotations

from pathlib import Path

from lqtui.store.errors import StoreError
from lqtui.store.files import atomic_write
from lqtui.store.paths import expanded
from lqtui.store.reading import read_at_most
from lqtui.workbench.values import WorkbenchError

_MAX_BYTES = 1 << 20


def read_text(path: Path) -> str:
    """The text of a file; WorkbenchError where it cannot be read or is no text of reasonable size."""
    try:
        raw = read_at_most(expanded(path), _MAX_BYTES + 1)
    except OSError as error:
        raise WorkbenchError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > _MAX_BYTES:
        raise WorkbenchError(f"{path} is too large for a recipe: it has more than {_MAX_BYTES:,} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise WorkbenchError(f"{path} is not a TOML recipe: it is not UTF-8 text") from None


def write_text(path: Path, content: str | bytes, *, executable: bool = False) -> None:
    """Write a text, or a picture, in place of what was there; WorkbenchError where that fails."""
    path = expanded(path)
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
            if executable:
                mode = temporary.stat().st_mode
                temporary.chmod(mode | (mode & 0o444) >> 2)
    except StoreError as error:
        raise WorkbenchError(str(error)) from None
    except OSError as error:
        raise WorkbenchError(f"{path} cannot be written: {error.strerror}") from None
