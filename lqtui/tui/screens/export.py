"""Preview, save or copy the export script."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.highlight import ANSIDarkHighlightTheme, HighlightTheme, highlight
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from lqtui.tui.screens.save_target import SaveTarget
from lqtui.tui.widgets.choices import Pages


class ExportScreen(ModalScreen[Path | None]):
    """Shows a script; gives the path to save it at, or None. Copying leaves it open."""

    DEFAULT_CSS = """
    ExportScreen { align: center middle; }
    ExportScreen > Vertical {
        width: 90%; max-width: 120; height: 90%; padding: 0 2;
        border: round $primary; background: $surface;
    }
    ExportScreen #preview { height: 1fr; border: none; overflow: auto auto; scrollbar-size: 1 1; }
    ExportScreen #preview Static { width: auto; height: auto; }
    ExportScreen #target-line { height: auto; margin-top: 1; }
    ExportScreen #target-line > Static { width: 9; color: $text-primary; }
    ExportScreen #buttons { height: 1; }
    ExportScreen Button { margin-right: 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Close", show=False),
        Binding("c", "copy", "Copy", show=False),
        Binding("s,enter", "save", "Save", show=False),
    ]

    def __init__(self, script: str, default_path: Path) -> None:
        super().__init__()
        self._script = script
        self._default_path = default_path

    def compose(self) -> ComposeResult:
        """The script, where to save it, and what to do."""
        with Vertical() as box:
            box.border_title = "export script"
            box.border_subtitle = "↑↓ scroll · s save · c copy · tab path · esc close"
            with Pages(id="preview"):
                yield Static(id="script")
            with Horizontal(id="target-line"):
                yield Static("save as")
                yield SaveTarget(self._default_path, suffix=".sh")
            with Horizontal(id="buttons"):
                yield Button("Save (s)", id="save", variant="primary", compact=True)
                yield Button("Copy (c)", id="copy", compact=True)
                yield Button("Close (esc)", id="close", compact=True)

    def on_mount(self) -> None:
        """Highlight in the theme's colours, or in the terminal's own."""
        theme = ANSIDarkHighlightTheme if self.app.current_theme.ansi else HighlightTheme
        self.query_one("#script", Static).update(highlight(self._script, language="bash", theme=theme))
        self.query_one("#preview").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Do what the button says."""
        if event.button.id == "save":
            self.action_save()
        elif event.button.id == "copy":
            self.action_copy()
        else:
            self.dismiss(None)

    def action_save(self) -> None:
        """Save at the path as it stands."""
        self.query_one(SaveTarget).accept()

    def action_copy(self) -> None:
        """Hand the script to the terminal's clipboard (OSC 52)."""
        self.app.copy_to_clipboard(self._script)
        self.notify("Copied, if your terminal allows it (OSC 52); in tmux: set -g set-clipboard on.")

    @on(SaveTarget.Accepted)
    def _accepted(self, event: SaveTarget.Accepted) -> None:
        self.dismiss(event.path)
