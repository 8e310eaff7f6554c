"""What memory a recipe needs, part by part, and for which context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from lqtui.recipe.memory import CPU, KV_TYPES, MemoryEstimate, Part
from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.chooser import LABEL_WIDTH, Chooser
from lqtui.tui.widgets.quantities import mebibytes, size
from lqtui.workbench import Change, Workbench

_SHORTEST = 512
_LONGEST = 1 << 20
_LEAST = (1 << 20) // 20
"""Bytes that a part must have to be shown: less would read as 0.0 MiB."""
_COLUMN = 11
_HOW = (
    "The weights follow from the recipe; the rest is what llama.cpp plans for one sequence, read in batches "
    "of 512 tokens."
)


def next_context(n_ctx: int, step: int, longest: int) -> int:
    """The next power of two above or below a context length, no longer than the model's own (0: unknown)."""
    longest = longest or _LONGEST
    if step > 0:
        return min(1 << n_ctx.bit_length(), longest)
    return max(1 << (n_ctx - 1).bit_length() - 1, min(_SHORTEST, longest))


def context_said(n_ctx: int, longest: int) -> str:
    """A context length, and where it is as long or as short as it can be, that it is."""
    if n_ctx == next_context(n_ctx, 1, longest):
        whose = "the model's" if longest else "the"
        return f"{n_ctx:,} tokens ({whose} most)"
    return f"{n_ctx:,} tokens{' (the least)' if n_ctx == next_context(n_ctx, -1, longest) else ''}"


class MemoryScreen(ModalScreen[None]):
    """The choices hold at once; the table follows as soon as llama.cpp has answered."""

    DEFAULT_CSS = """
    MemoryScreen { align: center middle; }
    MemoryScreen > Vertical {
        width: 66; max-width: 96%; height: auto; max-height: 96%; padding: 0 2;
        border: round $primary; background: $surface;
    }
    MemoryScreen #parts { height: auto; margin-top: 1; }
    MemoryScreen #notes { height: auto; margin-top: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,M,enter", "dismiss(None)", "Close", show=False),
        Binding("up,k", "app.focus_previous", "Up", show=False),
        Binding("down,j", "app.focus_next", "Down", show=False),
    ]

    def __init__(self, workbench: Workbench) -> None:
        super().__init__()
        self._workbench = workbench
        self._unsubscribe: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """The choices, the table, and how to read it."""
        with Vertical() as box:
            box.border_title = "memory"
            box.border_subtitle = "←→ change · ↑↓ choose · esc close"
            yield Chooser("context", id="context")
            yield Chooser("K cache", id="keys")
            yield Chooser("V cache", id="values")
            yield Static(id="parts")
            yield Static(id="notes")

    def on_mount(self) -> None:
        """Follow the workbench while the screen is open."""
        self._unsubscribe = self._workbench.subscribe(self._hear)
        self._show()

    def on_unmount(self) -> None:
        """Listen no more."""
        if self._unsubscribe:
            self._unsubscribe()

    def _hear(self, change: Change) -> None:
        if change in (Change.FIT, Change.RECIPE):
            self.call_later(self._show)

    def _show(self) -> None:
        fit = self._workbench.fit
        if fit is None:
            return
        longest = self._workbench.model.shape.context_length if self._workbench.model else 0
        self.query_one("#context", Chooser).show(context_said(fit.n_ctx, longest))
        self.query_one("#keys", Chooser).show(fit.type_k)
        self.query_one("#values", Chooser).show(fit.type_v)
        parts = self.query_one("#parts", Static)
        if fit.memory is None:
            told = f"Unknown: {fit.problem}." if fit.problem else "Asking llama.cpp …"
            parts.update(Content.styled(told, "$text-warning" if fit.problem else "dim"))
            self.query_one("#notes", Static).update(Content(""))
        else:
            parts.update(_table(fit.memory))
            self.query_one("#notes", Static).update(Content(" ".join(_notes(fit.memory))))

    @on(Chooser.Stepped)
    def _step(self, event: Chooser.Stepped) -> None:
        fit, model = self._workbench.fit, self._workbench.model
        if fit is None or model is None:
            return
        n_ctx, type_k, type_v = fit.n_ctx, fit.type_k, fit.type_v
        match event.chooser.id:
            case "context":
                n_ctx = next_context(n_ctx, event.step, model.shape.context_length)
            case "keys":
                type_k = _cycled(KV_TYPES, type_k, event.step)
            case _:
                type_v = _cycled(KV_TYPES, type_v, event.step)
        self._workbench.fit_to(n_ctx, type_k, type_v)


def _cycled(types: Sequence[TensorType], now: TensorType, step: int) -> TensorType:
    return types[(types.index(now) + step) % len(types)]


def _table(memory: MemoryEstimate) -> Content:
    """A row for each part, a column for each device, in MiB."""
    devices = dict.fromkeys(buffer.device for buffer in memory.buffers)
    names = {device: "RAM" if device == CPU else device for device in sorted(devices, key=lambda d: d != CPU)}
    rows = [("MiB".ljust(LABEL_WIDTH), "bold", [name.rjust(_COLUMN) for name in names.values()])]
    for part in Part:
        each = [memory.of(device=device, part=part) for device in names]
        if sum(each) >= _LEAST:
            if part is Part.WEIGHTS:
                each = [n - (memory.file_cache if d == CPU else 0) for d, n in zip(names, each, strict=True)]
            rows.append((part.ljust(LABEL_WIDTH), "", [mebibytes(n).rjust(_COLUMN) for n in each]))
    sums = [memory.in_ram if device == CPU else memory.of(device=device) for device in names]
    rows.append(("needed".ljust(LABEL_WIDTH), "bold", [mebibytes(n).rjust(_COLUMN) for n in sums]))
    lines = [
        Content.assemble((label, style or "$text-primary"), ("".join(cells), style))
        for label, style, cells in rows
    ]
    return Content("\n").join(lines)


def _notes(memory: MemoryEstimate) -> list[str]:
    notes = [_HOW]
    if memory.file_cache:
        notes.append(
            f"llama.cpp's log will tell of {size(memory.allocated)}: it counts {size(memory.file_cache)} of "
            f"weights twice, in the mapped file and as it reordered them; the system can drop the former."
        )
    return notes
