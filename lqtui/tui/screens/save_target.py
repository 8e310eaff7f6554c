"""A line for the path of a file to be written."""

from __future__ import annotations

import re
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from lqtui.store.paths import expanded, is_directory

_SUFFIX = re.compile(r"\.[A-Za-z]\w*")
"""What ends a file's name: the `.5B` of a model's size does not."""


class SaveTarget(Vertical):
    """A path to type, refused with a sentence where nothing can be written; asks before overwriting.

    `suffix` is added to a name that has none.
    """

    DEFAULT_CSS = """
    SaveTarget { height: auto; }
    SaveTarget Static { height: auto; color: $text-warning; }
    """

    class Accepted(Message):
        """A path was chosen, and overwriting agreed to where a file is there."""

        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    def __init__(self, default: Path, suffix: str) -> None:
        super().__init__()
        self._default = default
        self._suffix = suffix
        self._to_overwrite: Path | None = None

    def compose(self) -> ComposeResult:
        """The line, and room for a problem."""
        yield Input(str(self._default), select_on_focus=False, compact=True)
        yield Static("")

    def accept(self) -> None:
        """Take the path as it stands, or say what is wrong with it."""
        path = self._path()
        problem = "Type a path." if path is None else self._problem(path)
        self.query_one(Static).update(Content(problem))
        if path is not None and not problem:
            self.post_message(self.Accepted(path))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter takes the path."""
        event.stop()
        self.accept()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another path is another question."""
        event.stop()
        self._to_overwrite = None
        self.query_one(Static).update("")

    def _path(self) -> Path | None:
        text = self.query_one(Input).value.strip()
        if not text:
            return None
        path = expanded(Path(text))
        if text.endswith("/") or not path.name or is_directory(path) or _SUFFIX.fullmatch(path.suffix):
            return path
        return path.with_name(path.name + self._suffix)

    def _problem(self, path: Path) -> str:
        try:
            if path.is_dir():
                return f"{path} is a directory: type a file's path."
            if not path.parent.is_dir():
                return f"There is no directory {path.parent}."
            if path.exists() and path != self._to_overwrite:
                self._to_overwrite = path
                return f"{path.name} exists: once more overwrites it."
        except OSError as error:
            return f"{path} cannot be used: {error.strerror}."
        return ""
