"""Choose what a recipe's errors are weighed by: a matrix to compute, one that is kept, a file, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from lqtui.recipe.imatrix import Imatrix
from lqtui.store.paths import expanded
from lqtui.tui.widgets.choices import Choices
from lqtui.tui.widgets.quantities import shortened, size
from lqtui.workbench.imatrices import IMATRIX_CHUNKS, KeptImatrix

_COMPUTE, _FILE, _NONE, _KEPT = "compute", "file", "none", "kept-"
_LONGEST = 1_000_000
_DATASET = 40


@dataclass(frozen=True)
class UseImatrix:
    """Quantize by the matrix in a file, or by none."""

    path: Path | None


@dataclass(frozen=True)
class ComputeImatrix:
    """Compute one on the first chunks of a text; None is the half that results are not told on."""

    corpus: Path | None
    chunks: int


@dataclass(frozen=True)
class AskForFile:
    """Ask for the path of a file, and quantize by the matrix in it."""


ImatrixChoice = UseImatrix | ComputeImatrix | AskForFile


class ImatrixScreen(ModalScreen[ImatrixChoice | None]):
    """Lists what there is; gives what was chosen, or None. `reason` says why one is needed."""

    DEFAULT_CSS = """
    ImatrixScreen { align: center middle; }
    ImatrixScreen > Vertical {
        width: 78; max-width: 96%; height: auto; max-height: 96%; padding: 0 2;
        border: round $primary; background: $surface; overflow-y: auto; scrollbar-size-vertical: 1;
    }
    ImatrixScreen OptionList {
        height: auto; max-height: 12; border: none; padding: 0; background: $surface;
        scrollbar-size-vertical: 1;
        &:focus { border: none; }
    }
    ImatrixScreen Horizontal { height: 1; }
    ImatrixScreen Label { width: 9; color: $text-primary; }
    ImatrixScreen Input { width: 1fr; }
    ImatrixScreen #reason { height: auto; color: $text-warning; margin-bottom: 1; }
    ImatrixScreen #about { height: auto; color: $text-muted; margin-bottom: 1; }
    ImatrixScreen #problem { height: auto; color: $text-warning; }
    ImatrixScreen #text-line { margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", show=False),
        Binding("up", "app.focus_previous", "Up", show=False),
        Binding("down", "app.focus_next", "Down", show=False),
    ]

    def __init__(self, kept: Sequence[KeptImatrix], current: Imatrix | None, reason: str = "") -> None:
        super().__init__()
        self._kept = kept
        self._current = current
        self._reason = reason

    def compose(self) -> ComposeResult:
        """Why, the choices, and what to compute one on."""
        with Vertical() as box:
            box.border_title = "importance matrix"
            box.border_subtitle = "↑↓ choose · enter use · tab text and chunks · esc cancel"
            if self._reason:
                yield Static(Content(self._reason), id="reason")
            yield Static(
                "How large each weight's inputs are on a text: the same types then lose less, and the lowest "
                "cannot do without.",
                id="about",
            )
            yield Choices(*self._options())
            with Horizontal(id="text-line"):
                yield Label("text")
                yield Input(
                    placeholder="the half of the corpus that nothing is measured on", compact=True, id="text"
                )
            with Horizontal():
                yield Label("chunks")
                yield Input(str(IMATRIX_CHUNKS), type="integer", compact=True, id="chunks")
            yield Static(id="problem")

    def _options(self) -> Iterator[Option]:
        yield Option("  compute one on the text below, in the background", id=_COMPUTE)
        for number, kept in enumerate(self._kept):
            yield Option(self._line(kept), id=f"{_KEPT}{number}")
        if self._current and not any(str(kept.path) == self._current.path for kept in self._kept):
            yield Option(Content(f"• {shortened(self._current.path, 68)}"), id="current", disabled=True)
        yield Option("  a file …", id=_FILE)
        if self._current is not None:
            yield Option("  none", id=_NONE)

    def _line(self, kept: KeptImatrix) -> Content:
        mark = "• " if self._current is not None and self._current.path == str(kept.path) else "  "
        said = shortened(kept.dataset, _DATASET).ljust(_DATASET)
        return Content.assemble(
            (mark, "bold"), said, (f"  {kept.chunks:>5}×{kept.n_ctx:<5} {size(kept.bytes):>9}", "dim")
        )

    def on_mount(self) -> None:
        """Start at what is in use, else at what is kept."""
        options = self.query_one(OptionList)
        options.highlighted = 1 if self._kept else 0
        options.focus()

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        chosen = event.option.id or ""
        if chosen.startswith(_KEPT):
            self.dismiss(UseImatrix(self._kept[int(chosen.removeprefix(_KEPT))].path))
        elif chosen == _FILE:
            self.dismiss(AskForFile())
        elif chosen == _NONE:
            self.dismiss(UseImatrix(None))
        else:
            self._compute()

    @on(Input.Submitted)
    def _compute(self) -> None:
        """Compute one on what is typed, or say what is wrong with that."""
        text, chunks = (self.query_one(f"#{name}", Input).value.strip() for name in ("text", "chunks"))
        path = expanded(Path(text)) if text else None
        problem = ""
        try:
            if path is not None and not path.is_file():
                problem = f"There is no file {path}."
        except OSError as error:
            problem = f"{path} cannot be used: {error.strerror}."
        if not chunks.isdigit() or not 1 <= int(chunks) <= _LONGEST:
            problem = problem or f"Chunks are a number from 1 to {_LONGEST:,}."
        if problem:
            self.query_one("#problem", Static).update(Content(problem))
        else:
            self.dismiss(ComputeImatrix(path, int(chunks)))
