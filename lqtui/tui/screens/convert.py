"""Ask how to convert a model in safetensors, and where to."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from lqtui.store.checkpoint import Checkpoint
from lqtui.tui.screens.save_target import SaveTarget
from lqtui.tui.widgets.chooser import Chooser
from lqtui.tui.widgets.quantities import size
from lqtui.workbench.converting import OUT_TYPES, converted_name
from lqtui.worker.convert_messages import OutType

_SAID = {
    "f16": "What most tools take for a model's original.",
    "bf16": "Exactly the weights of a model that was trained in BF16; slower on many processors.",
    "f32": "Exactly the weights of any model, at twice the size.",
    "auto": "16 bits as they are in the model, else F16.",
}


class AskedConversion(NamedTuple):
    """Where the GGUF goes, and the type of its weights."""

    out: Path
    out_type: OutType


class ConvertScreen(ModalScreen[AskedConversion | None]):
    """The type and the path; gives what was asked for, or None."""

    DEFAULT_CSS = """
    ConvertScreen { align: center middle; }
    ConvertScreen > Vertical {
        width: 80%; max-width: 90; height: auto; padding: 1 2;
        border: round $primary; background: $surface;
    }
    ConvertScreen #what { height: auto; margin-bottom: 1; }
    ConvertScreen #said { height: auto; margin-bottom: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel", show=False)]

    def __init__(self, checkpoint: Checkpoint, default_dir: Path) -> None:
        super().__init__()
        self._checkpoint, self._default_dir = checkpoint, default_dir
        self._out_type: OutType = "f16"

    def compose(self) -> ComposeResult:
        """What is converted, to which type, and where to."""
        found = self._checkpoint
        with Vertical() as box:
            box.border_title = "convert to GGUF"
            box.border_subtitle = "enter convert · shift+tab type · ←→ choose · esc cancel"
            what = f"{found.name}: {found.n_weights:,} weights, most of them {found.dtype}"
            yield Static(Content(f"{what}. llama.cpp's own converter does it."), id="what")
            yield Chooser("type", id="type")
            yield Static(id="said")
            yield SaveTarget(self._default, suffix=".gguf")

    def on_mount(self) -> None:
        """The path is there to be typed."""
        self._show()
        self.query_one(Input).focus()

    @property
    def _default(self) -> Path:
        return self._default_dir / converted_name(self._checkpoint, self._out_type)

    def _show(self) -> None:
        count = self._checkpoint.gguf_bytes(self._out_type)
        self.query_one("#type", Chooser).show(f"{self._out_type.upper()}, about {size(count)}")
        self.query_one("#said", Static).update(_SAID[self._out_type])

    @on(Chooser.Stepped)
    def _step(self, event: Chooser.Stepped) -> None:
        line, before = self.query_one(Input), str(self._default)
        self._out_type = OUT_TYPES[(OUT_TYPES.index(self._out_type) + event.step) % len(OUT_TYPES)]
        if line.value == before:
            line.value = str(self._default)
        self._show()

    @on(SaveTarget.Accepted)
    def _accepted(self, event: SaveTarget.Accepted) -> None:
        self.dismiss(AskedConversion(event.path, self._out_type))
