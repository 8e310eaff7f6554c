"""Save the recipe under a name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from lqtui.tui.screens.save_target import SaveTarget


class SaveRecipeScreen(ModalScreen[Path | None]):
    """Asks where to save a recipe; gives the path of the file, or None."""

    DEFAULT_CSS = """
    SaveRecipeScreen { align: center middle; }
    SaveRecipeScreen > Vertical {
        width: 80%; max-width: 90; height: auto; padding: 1 2;
        border: round $primary; background: $surface;
    }
    SaveRecipeScreen .explanation { margin-bottom: 1; text-style: dim; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel", show=False)]

    def __init__(self, name: str, default_dir: Path) -> None:
        super().__init__()
        self._default = default_dir / f"{_file_name(name)}.toml"

    def compose(self) -> ComposeResult:
        """What will be written, and where."""
        with Vertical() as box:
            box.border_title = "save recipe"
            box.border_subtitle = "enter save · esc cancel"
            yield Static(
                "A small TOML file to read, edit and share; its name becomes the recipe's. A name that ends "
                "in .json or .txt asks for JSON, or for llama-quantize's tensor types.",
                classes="explanation",
            )
            yield SaveTarget(self._default, suffix=".toml")

    @on(SaveTarget.Accepted)
    def _accepted(self, event: SaveTarget.Accepted) -> None:
        self.dismiss(event.path)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "recipe"
