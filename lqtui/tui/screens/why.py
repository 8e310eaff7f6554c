"""Why the tensors of a block got their types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.style import Style
from textual.widgets import Static

from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.choices import Pages
from lqtui.tui.widgets.type_glyphs import TypeStyles, code_of


class Reason(NamedTuple):
    """What a tensor is called, the type that it has, and why it was given its type."""

    tensor: str
    type: TensorType
    sentence: str


class WhyScreen(ModalScreen[None]):
    """What holds for all tensors of a block, and a sentence for each."""

    DEFAULT_CSS = """
    WhyScreen { align: center middle; }
    WhyScreen > Pages {
        width: 84; max-width: 96%; height: auto; max-height: 90%; padding: 0 2;
        border: round $primary; background: $surface; scrollbar-size-vertical: 1;
    }
    WhyScreen Static { height: auto; }
    WhyScreen #market { margin-bottom: 1; }
    WhyScreen .sentence { padding: 0 0 0 4; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,y,enter", "dismiss(None)", "Close", show=False),
    ]

    def __init__(self, title: str, reasons: Sequence[Reason], market: str = "") -> None:
        super().__init__()
        self._title = title
        self._reasons = reasons
        self._market = market

    def compose(self) -> ComposeResult:
        """Each tensor with its type over its sentence."""
        styles = TypeStyles(self.app)
        with Pages() as box:
            box.border_title = Content(f"why {self._title}")
            box.border_subtitle = "↑↓ scroll · esc close"
            if self._market:
                yield Static(Content(self._market), id="market")
            for tensor, tensor_type, sentence in self._reasons:
                chip = Style.from_rich_style(styles[tensor_type].plain)
                named = (f" {tensor} {tensor_type}", "bold")
                yield Static(Content.assemble((f" {code_of(tensor_type):<2}", chip), named))
                yield Static(Content(sentence), classes="sentence")
