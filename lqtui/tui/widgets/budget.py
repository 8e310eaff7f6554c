"""What the recipe costs: file size, memory to run it, and what the machine has left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from lqtui.measure.rounding import plus_minus, small
from lqtui.recipe.memory import MemoryEstimate, kv_types_name
from lqtui.recipe.types import TensorType
from lqtui.tui.keys.shown import with_keys
from lqtui.tui.widgets.border_words import set_border_words
from lqtui.tui.widgets.quantities import bar, share, size

if TYPE_CHECKING:
    from lqtui.recipe.recipe import Plan
    from lqtui.system.meters import Gpu, Snapshot
    from lqtui.workbench import Fit

_LABEL = 6
_BAR = 24
_BAR_LEAST = 4
_NEARLY_FULL = 0.9


class BudgetPane(Widget):
    """Three lines: the file's size against the base model's, the memory that it needs, and the meters.

    The memory is a prediction and says so; what llama.cpp keeps in RAM is held against the RAM. A fourth
    line tells the recipe's predicted KLD, where enough is known for that.
    """

    BORDER_TITLE = "budget"
    DEFAULT_CSS = """
    BudgetPane {
        height: 5;
        border: round $foreground 25%;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 70%;
        padding: 0 1;

        &.-predicted { height: 6; }
        &:ansi { border: round ansi_bright_black; }
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._prediction: float | None = None
        self._measured: tuple[float, float | None] | None = None
        self._mixes = 0
        self._plan: Plan | None = None
        self._base_bytes = 0
        self._fit: Fit | None = None
        self._meters: Snapshot | None = None
        self._lines: list[Content] = []
        self._strips: dict[int, Strip] = {}

    def on_mount(self) -> None:
        """Say by which keys the memory is explained and chosen."""
        words = "{fit.longer} {fit.shorter} context · {fit.memory} memory"
        set_border_words(self, subtitle=with_keys(self, words))

    def show_plan(self, plan: Plan, base_bytes: int, fit: Fit | None) -> None:
        """Show a recipe's size against the base model's bytes, and the memory that it needs."""
        if (plan, base_bytes, fit) != (self._plan, self._base_bytes, self._fit):
            self._plan, self._base_bytes, self._fit = plan, base_bytes, fit
            self._draw_what_differs()

    def show_prediction(
        self, kld: float | None, measured: tuple[float, float | None] | None = None, mixes: int = 0
    ) -> None:
        """Show a recipe's predicted KLD (None: too little is known), and its measured one with its error.

        `mixes` is by how many measured recipes the sum of the tensors alone is corrected.
        """
        if (kld, measured, mixes) != (self._prediction, self._measured, self._mixes):
            self._prediction, self._measured, self._mixes = kld, measured, mixes
            self.set_class(kld is not None, "-predicted")
            self._draw_what_differs()

    def show_meters(self, snapshot: Snapshot) -> None:
        """Show what the machine has and uses."""
        if snapshot != self._meters:
            self._meters = snapshot
            self._draw_what_differs()

    def on_resize(self) -> None:
        """Fit the lines to the new width."""
        self._draw_what_differs()

    def notify_style_update(self) -> None:
        """Draw in the new theme."""
        self._strips.clear()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """One line; each is kept until what it says differs."""
        width = self.content_size.width
        if not width:
            return Strip.blank(0)
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != width:
            line = self._lines[y] if y < len(self._lines) else Content("")
            fitted, style = line.truncate(width, pad=True), self.visual_style
            strip = Visual.to_strips(self, fitted, width, 1, style, pad=True)[0]
            self._strips[y] = strip
        return strip

    def _draw_what_differs(self) -> None:
        """Build the lines anew, and paint those again that say something else."""
        before, self._lines = self._lines, self.build_lines(self.content_size.width)
        for y, (old, new) in enumerate(zip_longest(before, self._lines)):
            if old is None or new is None or not old.is_same(new):
                self._strips.pop(y, None)
                self.refresh(Region(0, y, self.content_size.width, 1))

    def build_lines(self, width: int) -> list[Content]:
        """The lines, for a width in cells."""
        lines = [self._size_line(width)]
        if self._prediction is not None:
            lines.append(self._prediction_line(self._prediction, width))
        return [*lines, self._fit_line(width), self._meter_line(width)]

    def _size_line(self, width: int) -> Content:
        if self._plan is None:
            return _labelled("size", Content.styled("no model open", "dim"))
        plan = self._plan
        fraction = plan.file_bytes / self._base_bytes if self._base_bytes else 1.0
        return _stretched(
            "size",
            Content.assemble((size(plan.file_bytes), "bold"), " "),
            fraction,
            Content.assemble(
                f" {fraction:.0%}",
                (f" of {size(self._base_bytes)}", "dim") if width >= 58 else "",
                f"   {plan.bits_per_weight:.2f} bpw",
            ),
            width,
            "$primary" if fraction <= 1 else "$warning",
        )

    def _prediction_line(self, kld: float, width: int) -> Content:
        """What is predicted, hollow, and what was measured, solid."""

        def line(how: str, measured: str) -> Content:
            return Content.assemble(
                ("◇".ljust(_LABEL), "$text-accent"),
                "predicted KLD ",
                (small(kld)[0], "bold"),
                (f" ({how})", "dim"),
                ("  ◆ " if measured else "", "$text-accent"),
                f"measured {measured}" if measured else "",
            )

        mixes = f"{self._mixes} mix{'es' if self._mixes > 1 else ''}"
        sources = (f"from singles and {mixes}", f"singles, {mixes}") if self._mixes else ("from singles",)
        briefest = mixes if self._mixes else "Σ"
        alone = [line(source, "") for source in (*sources, briefest)]
        lines = alone
        if self._measured is not None:
            number, error = small(*self._measured)
            in_full = plus_minus((number, error))
            told = [line(source, in_full) for source in (*sources, briefest)]
            lines = [*told, line(briefest, number), alone[0]]
        return next((each for each in lines if each.cell_length <= width), lines[-1])

    def _fit_line(self, width: int) -> Content:
        fit = self._fit
        if self._plan is None or fit is None:
            return Content("")
        cache = kv_types_name(fit.type_k, fit.type_v)
        context = f"ctx {fit.n_ctx}" + (f" {cache}" if cache != TensorType.F16 else "")
        if fit.memory is None:
            answer = f"unknown: {fit.problem}" if fit.problem else f"asking llama.cpp for {context} …"
            return _labelled("fit", Content.styled(answer, "$text-warning" if fit.problem else "dim"))
        if self._meters is None:
            needs = Content.assemble("needs ", (_about(fit.memory.needed), "bold"))
            return _labelled("fit", needs.append(Content.styled(f" at {context}", "dim")))
        verdict = (
            Content.styled("✓ fits", "$text-success")
            if fits(fit.memory, self._meters)
            else Content.styled("✗ does not fit", "bold $text-error")
        )
        for said in _needs(fit.memory, self._meters, context):
            line = _labelled("fit", Content.assemble(said, "  ", verdict))
            if line.cell_length <= width:
                return line
        return _labelled("fit", verdict)

    def _meter_line(self, width: int) -> Content:
        meters = self._meters
        if meters is None:
            return _labelled("", Content.styled("reading the meters …", "dim"))
        rows = [_gpu_row(gpu) for gpu in meters.gpus]
        rows.append(("RAM", meters.ram_used, meters.ram_total))
        if len(rows) == 1:
            for note in _gpu_notes(meters):
                tail = Content.assemble((f"  CPU {meters.cpu_percent:.0f}%", ""), (f"  {note}", "dim"))
                line = _meter(*rows[0], width - tail.cell_length, _LABEL).append(tail)
                if line.cell_length <= width:
                    break
            return line
        shown = rows
        while len(shown) > 2 and width // len(shown) < 26:
            shown = [*shown[:-2], shown[-1]]
        hidden = len(rows) - len(shown)
        more = Content.styled(f" +{hidden} GPU", "dim") if hidden else Content("")
        each = (width - more.cell_length - 2 * (len(shown) - 1)) // len(shown)
        parts = [_meter(*row, each, _LABEL if i == 0 else len(row[0]) + 1) for i, row in enumerate(shown)]
        return Content("  ").join(parts).append(more)


def fits(memory: MemoryEstimate, meters: Snapshot) -> bool:
    """Whether a machine has the memory free: in RAM, and on its GPUs where their meters can be read."""
    vram = _free_vram(meters)
    if vram is None:
        return memory.needed <= meters.ram_free
    return memory.in_ram <= meters.ram_free and memory.on_gpus <= vram


def _needs(memory: MemoryEstimate, meters: Snapshot, context: str) -> Iterator[Content]:
    """What is needed of what is free, the longest way to say it first."""
    vram = _free_vram(meters)
    shares = [("RAM", memory.needed, meters.ram_free)]
    if vram is not None:
        shares = [("VRAM", memory.on_gpus, vram), ("RAM", memory.in_ram, meters.ram_free)]

    def each(told: Callable[[str, str], str]) -> Content:
        return Content(", ").join(
            Content.assemble((_about(needed), "bold"), told(size(free), name))
            for name, needed, free in shares
            if needed
        )

    at = Content.styled(f" at {context}", "dim")
    brief = each(lambda free, name: f" of {free} {name}")
    yield Content.assemble("needs ", each(lambda free, name: f" of {free} {name} free"), at)
    yield Content.assemble(brief, at)
    yield Content.assemble(each(lambda free, _: f" of {free}"), at)
    yield brief
    yield each(lambda free, _: f"/{free}")
    yield each(lambda _, __: "")


def _about(needed: int) -> str:
    return f"≈{size(needed)}"


def _free_vram(meters: Snapshot) -> int | None:
    """Free bytes of all GPUs together: llama.cpp spreads the blocks over them. None without a GPU."""
    known = [gpu.vram_free for gpu in meters.gpus if gpu.vram_free is not None]
    return sum(known) if known else None


def _gpu_notes(meters: Snapshot) -> tuple[str, ...]:
    """Why no GPU is shown, the longest way to say it first."""
    if meters.gpu_gone:
        return ("GPU went away", "GPU gone", "")
    return ("no NVIDIA GPU", "no GPU", "") if meters.gpu_absent else ("GPU unknown", "")


def _gpu_row(gpu: Gpu) -> tuple[str, int | None, int | None]:
    return f"GPU{gpu.index}", gpu.vram_used, gpu.vram_total


def _labelled(label: str, content: Content) -> Content:
    return Content.assemble((label.ljust(_LABEL), "$text-primary"), content)


def _stretched(
    label: str, before: Content, fraction: float, after: Content, width: int, style: str
) -> Content:
    """A line with a bar in its middle that takes the room that is left."""
    room = min(_BAR, width - _LABEL - before.cell_length - after.cell_length)
    middle = bar(fraction, room, style) if room >= _BAR_LEAST else Content("")
    return _labelled(label, Content.assemble(before, middle, after))


def _meter(name: str, used: int | None, total: int | None, width: int, label_width: int) -> Content:
    label = Content.styled(name.ljust(label_width), "$text-primary")
    if used is None or not total:
        return Content.assemble(label, ("not told", "dim"))
    fraction = used / total
    said = f" {share(used, total)}"
    room = min(_BAR // 2, width - label_width - len(said))
    style = "$warning" if fraction >= _NEARLY_FULL else "$success"
    middle = bar(fraction, room, style) if room >= _BAR_LEAST else Content("")
    return Content.assemble(label, middle, said)
