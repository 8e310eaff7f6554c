"""Choose a GGUF file to open."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import DirectoryTree, Input, Static
from textual.widgets.directory_tree import DirEntry
from textual.widgets.tree import TreeNode

from lqtui.store.checkpoint import is_checkpoint
from lqtui.store.paths import expanded, is_directory
from lqtui.tui.widgets.quantities import size

_SUFFIX = ".gguf"
_OFFER = "This folder holds a model in safetensors: c makes a GGUF of it, by llama.cpp's own converter."


class GgufTree(DirectoryTree):
    """Folders, and the GGUF files in them with their sizes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "scroll_home", "First", show=False),
        Binding("G", "scroll_end", "Last", show=False),
        Binding("h,left", "cursor_parent", "Folder above", show=False),
        Binding("l,right", "select_cursor", "Open", show=False),
        Binding("ctrl+d", "page_down", "Page down", show=False),
        Binding("ctrl+u", "page_up", "Page up", show=False),
    ]
    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "
    ICON_FILE = "  "

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """Leave out hidden entries and other files."""
        return [
            path
            for path in paths
            if not path.name.startswith(".") and (path.suffix.lower() == _SUFFIX or is_directory(path))
        ]

    def render_label(self, node: TreeNode[DirEntry], base_style: Style, style: Style) -> Text:
        """A file's name with its size."""
        label = super().render_label(node, base_style, style)
        if node.data is None or node.allow_expand:
            return label
        try:
            count = node.data.path.stat().st_size
        except OSError:
            return label
        return Text.assemble(label, (f"  {size(count)}", style + Style(dim=True)))


class OpenModelScreen(ModalScreen[Path | Literal["hub"] | None]):
    """A folder to look through, or a path to type; gives the path of a GGUF file, or "hub", or None."""

    DEFAULT_CSS = """
    OpenModelScreen { align: center middle; }
    OpenModelScreen > Vertical {
        width: 90%; max-width: 100; height: 90%; padding: 0 2;
        border: round $primary; background: $surface;
    }
    OpenModelScreen Input { margin-top: 1; }
    OpenModelScreen #hub { height: 1; color: $foreground 70%; }
    OpenModelScreen #problem { height: auto; min-height: 1; color: $text-warning; }
    OpenModelScreen GgufTree { height: 1fr; background: transparent; padding: 0; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", show=False),
        Binding("backspace", "parent", "Folder above", show=False),
        Binding("slash", "type_path", "Type a path", show=False),
        Binding("c", "convert", "Convert the folder", show=False),
        Binding("D", "dismiss('hub')", "The Hugging Face Hub", show=False),
    ]

    def __init__(self, start: Path) -> None:
        super().__init__()
        self._start = _nearest_directory(start)
        self._to_convert: Path | None = None

    def compose(self) -> ComposeResult:
        """The path on top, the folder below it."""
        with Vertical() as box:
            box.border_title = "open model"
            box.border_subtitle = "enter open · backspace folder above · / type a path · esc cancel"
            yield Input(str(self._start), placeholder="path of a .gguf file or a folder", compact=True)
            yield Static("", id="problem")
            yield GgufTree(self._start)
            yield Static("D searches the Hugging Face Hub for a model to download.", id="hub")

    def on_mount(self) -> None:
        """Keys move in the folder first."""
        self.query_one(GgufTree).focus()

    @on(DirectoryTree.FileSelected)
    def _file_selected(self, event: DirectoryTree.FileSelected) -> None:
        self.dismiss(event.path)

    @on(DirectoryTree.NodeHighlighted)
    def _node_highlighted(self, event: DirectoryTree.NodeHighlighted[DirEntry]) -> None:
        if event.node.data is not None and self.query_one(GgufTree).has_focus:
            self._show_path(event.node.data.path)
            self._offer(event.node.data.path)

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        path = expanded(Path(text)) if text else self._start
        try:
            if path.is_dir():
                self._go_to(path)
            elif path.is_file():
                self.dismiss(path)
            else:
                self._say(f"There is no file {path}.")
        except OSError as error:
            self._say(f"{path} cannot be opened: {error.strerror}.")

    def action_parent(self) -> None:
        """Show the folder above."""
        self._go_to(self.query_one(GgufTree).path.absolute().parent)  # type: ignore[union-attr]

    def action_type_path(self) -> None:
        """Go to the line on top."""
        self.query_one(Input).focus()

    def _go_to(self, folder: Path) -> None:
        tree = self.query_one(GgufTree)
        tree.path = folder
        self._show_path(folder)
        self._offer(folder)
        tree.focus()

    def action_convert(self) -> None:
        """Give the folder at hand, where it holds a model in safetensors."""
        if self._to_convert is not None:
            self.dismiss(self._to_convert)

    def _offer(self, path: Path) -> None:
        """Offer to convert what is in a folder, where that can be."""
        self._to_convert = path if is_checkpoint(path) else None
        self._say(_OFFER if self._to_convert else "")

    def _show_path(self, path: Path) -> None:
        line = self.query_one(Input)
        line.value = str(path)
        line.cursor_position = len(line.value)

    def _say(self, sentence: str) -> None:
        self.query_one("#problem", Static).update(Content(sentence))


def _nearest_directory(path: Path) -> Path:
    path = expanded(path)
    return next((place for place in (path, *path.parents) if is_directory(place)), Path("/"))
