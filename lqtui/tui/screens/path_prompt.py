"""Asks for one path."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from lqtui.store.paths import expanded


class PathPrompt(ModalScreen[Path | None]):
    """A line to type a path in; asks once more before a file is overwritten."""

    DEFAULT_CSS = """
    PathPrompt { align: center middle; }
    PathPrompt > Vertical {
        width: 80%; max-width: 90; height: auto; padding: 1 2;
        border: round $primary; background: $surface;
    }
    PathPrompt Static { height: auto; }
    PathPrompt #problem { color: $text-warning; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel", show=False)]

    def __init__(self, title: str, default: str, *, must_exist: bool) -> None:
        super().__init__()
        self._title, self._default, self._must_exist = title, default, must_exist
        self._asked_for = ""

    def compose(self) -> ComposeResult:
        """The title, the line, and room for a problem."""
        with Vertical() as box:
            box.border_title = self._title
            box.border_subtitle = "enter accept · esc cancel"
            yield Input(self._default, select_on_focus=False, compact=True)
            yield Static("", id="problem")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Accept the path, or say what is wrong with it."""
        text = event.value.strip()
        path = expanded(Path(text))
        try:
            problem = self._problem(text, path)
        except OSError as error:
            problem = f"{path} cannot be used: {error.strerror}."
        if problem:
            self.query_one("#problem", Static).update(Content(problem))
            return
        self.dismiss(path)

    def _problem(self, text: str, path: Path) -> str:
        if not text:
            return "Type a path."
        if path.is_dir():
            return f"{path} is a directory: type a file's path."
        if self._must_exist:
            return "" if path.is_file() else f"There is no file {path}."
        if not path.parent.is_dir():
            return f"There is no directory {path.parent}."
        if path.exists():
            self._asked_for, again = text, self._asked_for == text
            return "" if again else f"{path.name} exists: enter again overwrites it."
        return ""
