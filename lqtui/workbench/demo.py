"""The demo model that comes with lqtui, and the word of welcome that is said once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import lqtui
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths, make_directory
from lqtui.workbench.values import OpenModel, WorkbenchError

DEMO_FILE = "lqtui-demo.gguf"
DEMO_SHA256 = "c2661ac1345902f2f43072c39f231abfa8875f26864944c57f07f09035bf4b74"
"""Of the file as it was published; a damaged one is not opened."""


def demo_model(folders: tuple[Path, ...] | None = None) -> Path:
    """The demo model's file, its digest checked; WorkbenchError where it is missing or damaged.

    It lies in the installed package, or in a checkout beside it.
    """
    package = Path(lqtui.__file__).parent
    places = folders or (package / "assets", package.parent / "assets")
    for path in (folder / DEMO_FILE for folder in places):
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise WorkbenchError(f"the demo model {path} cannot be read: {error.strerror}") from None
        if digest != DEMO_SHA256:
            raise WorkbenchError(
                f"the demo model {path} is damaged; reinstall lqtui, or open a model of your own"
            )
        return path
    raise WorkbenchError(
        "the demo model is missing from this installation; reinstall lqtui, or open a model of your own"
    )


def is_demo(model: OpenModel | None) -> bool:
    """Whether a model is the demo model; it goes by its file's name while its digest is not known."""
    if model is None:
        return False
    return model.path.name == DEMO_FILE if model.digest is None else model.digest == DEMO_SHA256


def is_first_start(paths: Paths) -> bool:
    """Whether the app starts for the first time under these folders; asked twice, it does not."""
    mark = paths.state / "welcomed"
    try:
        make_directory(paths.state)
        mark.touch(exist_ok=False)
    except (FileExistsError, StoreError):
        return False
    except OSError:  # a folder that cannot be written to: better to say nothing than the same each time
        return False
    return True
