"""A model's files on disk: their header, what tells whether they changed, and what would overwrite them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

from lqtui.recipe.shape import ModelShape
from lqtui.recipe.split_names import split_name
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.store.results import FileIdentity
from lqtui.workbench.jobs import new_log
from lqtui.workbench.values import WorkbenchError, WorkFailedError
from lqtui.worker.client import JobFailed, run_task
from lqtui.worker.messages import ReadHeader


async def read_header(path: Path, paths: Paths) -> tuple[ModelShape, str]:
    """A model's shape, and the engine that read it; WorkbenchError where it is no model."""
    try:
        log = new_log(paths.logs, "header")
        header = await run_task(ReadHeader(path), log)
    except JobFailed as error:
        raise (WorkbenchError if error.bad_input else WorkFailedError)(str(error)) from None
    except StoreError as error:
        raise WorkbenchError(str(error)) from None
    with contextlib.suppress(OSError):  # the next lqtui removes it
        log.unlink(missing_ok=True)
    assert header.shape is not None
    return header.shape, header.build


def model_identity(path: Path) -> FileIdentity:
    """What tells an unchanged model from a changed one without reading it, all parts of a split one together.

    Raises WorkbenchError where a file is gone.
    """
    try:
        first, *others = [FileIdentity.of(part) for part in _parts(path)]
    except OSError as error:
        raise WorkbenchError(f"{error.filename} is gone: {error.strerror}; open the model again") from None
    if not others:
        return first
    digest = hashlib.sha256(msgspec.json.encode([first, *others])).digest()
    return msgspec.structs.replace(
        first,
        size=first.size + sum(other.size for other in others),
        mtime_ns=int.from_bytes(digest[:7], "big"),
    )


def protect_model(path: Path, out: Path) -> None:
    """Refuse to write `out` where that would replace the model or a part of it."""
    for part in _parts(path):
        try:
            same = os.path.samefile(part, out)  # noqa: PTH121 - of two paths that need not exist
        except OSError:
            same = part == out
        if same:
            raise WorkbenchError(f"{out} is the base model itself; choose another name")


def _parts(path: Path) -> list[Path]:
    """The files of a model that are there, by their names."""
    name = split_name(path.name)
    if name is None:
        return [path]
    parts = [path.with_name(part) for part in name.parts]
    return [part for part in parts if part.exists()] or [path]  # a whole model may bear such a name too
