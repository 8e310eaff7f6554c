"""Notes, in a process that lqtui runs in, what would outlive a power cut: a `sitecustomize` of the campaign.

Only what goes through Python is noted; SQLite's own writes are not. Flushing takes no time here, as the disk
is only pretended to lose its power.
"""

# ruff: noqa: PTH100, PTH112, PTH113, PTH115, PTH118, PTH123
# pathlib would be seen by what this patches, and every process loads this.

import contextlib
import json
import os
import shutil
import sys
import uuid
from typing import Any

FOLDER, ROOT = "LQTUI_CAMPAIGN_POWER", "LQTUI_CAMPAIGN_POWER_ROOT"
FORGETS = "LQTUI_CAMPAIGN_POWER_FORGETS"
"""Set, flushing does nothing: a fault planted to see that the campaign finds it."""


def record(folder: str, root: str) -> None:
    """Note from now on what this process flushes, renames, removes and makes below a folder."""
    journal = os.open(os.path.join(folder, "journal"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    really = {
        name: getattr(os, name) for name in ("replace", "rename", "unlink", "remove", "mkdir", "symlink")
    }
    busy = False

    def note(*event: object) -> None:
        os.write(journal, json.dumps(event).encode() + b"\n")

    def inside(path: Any, options: dict[str, Any]) -> str:
        if isinstance(path, int) or any(
            value is not None for key, value in options.items() if "dir_fd" in key
        ):
            return ""
        absolute = os.path.abspath(os.fsdecode(path))
        return absolute if absolute.startswith(root + os.sep) else ""

    def kept(path: str) -> str:
        """Another name of a file, by which it stays what it is."""
        saved = os.path.join(folder, uuid.uuid4().hex)
        with contextlib.suppress(OSError):
            os.link(path, saved, follow_symlinks=False)
            return saved
        return ""

    def fsync(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        path = os.readlink(f"/proc/self/fd/{number}")
        if os.environ.get(FORGETS) or not (path == root or path.startswith(root + os.sep)):
            return
        if os.path.isdir(path):
            note("folder", path)
            return
        saved = os.path.join(folder, uuid.uuid4().hex)
        shutil.copyfile(f"/proc/self/fd/{number}", saved)
        kept(path)  # or its number would be given to another file
        note("file", os.fstat(number).st_ino, saved)

    def moved(name: str) -> Any:
        def move(source: Any, target: Any, **options: Any) -> None:
            from_, to = inside(source, options), inside(target, options)
            saved = kept(to) if to and os.path.lexists(to) else ""
            really[name](source, target, **options)
            if from_ and to:
                note("rename", from_, to, saved)

        return move

    def removed(name: str) -> Any:
        def remove(path: Any, **options: Any) -> None:
            place = inside(path, options)
            saved = kept(place) if place else ""
            really[name](path, **options)
            if saved:
                note("unlink", place, saved)

        return remove

    def made(name: str) -> Any:
        def make(*arguments: Any, **options: Any) -> None:
            really[name](*arguments, **options)
            if place := inside(arguments[-1 if name == "symlink" else 0], options):
                note("mkdir" if name == "mkdir" else "create", place)

        return make

    def opened(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal busy
        if event != "open" or busy or not isinstance(arguments[2], int) or not arguments[2] & os.O_CREAT:
            return
        busy = True
        try:
            place = inside(arguments[0], {}) if isinstance(arguments[0], (str, bytes)) else ""
            if place and not os.path.lexists(place):
                note("create", place)
        finally:
            busy = False

    os.fsync = fsync
    os.replace, os.rename = moved("replace"), moved("rename")
    os.unlink, os.remove = removed("unlink"), removed("remove")
    os.mkdir = made("mkdir")
    os.symlink = made("symlink")
    sys.addaudithook(opened)


def _go_on() -> None:
    """Run the `sitecustomize` that this one stands before."""
    own = os.path.abspath(__file__)
    for place in sys.path:
        other = os.path.join(place, "sitecustomize.py")
        if os.path.isfile(other) and os.path.abspath(other) != own:
            with open(other, encoding="utf-8") as file:
                exec(compile(file.read(), other, "exec"), {"__name__": "sitecustomize", "__file__": other})
            return


if __name__ == "sitecustomize":
    if os.environ.get(FOLDER):
        record(os.environ[FOLDER], os.environ[ROOT])
    _go_on()
