"""How long quality lasts as blocks are lowered one by one, in the order of each score."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Static

from lqtui.measure.rounding import small
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.rules import fitting_type, quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.chart_pane import ChartPane
from lqtui.tui.widgets.chart_spots import Spot
from lqtui.tui.widgets.chooser import Chooser
from lqtui.tui.widgets.curves import CurvesChart, table_of
from lqtui.tui.widgets.jobs import progress_of
from lqtui.tui.widgets.type_toggles import types_for
from lqtui.workbench import PROBE, Change, Job, JobState, Lowered, Workbench, WorkbenchError

LOWEST = TensorType.Q2_K
"""The type that blocks are lowered to unless another is chosen."""


class LoweringScreen(ModalScreen[TensorType]):
    """The curves of one type at a time, and keys to measure them; gives the type that was looked at."""

    DEFAULT_CSS = """
    LoweringScreen { align: center middle; }
    LoweringScreen > Vertical {
        width: 96%; height: 96%; padding: 0 1; border: round $primary; background: $surface;
    }
    LoweringScreen #table { height: auto; }
    LoweringScreen #said { height: auto; min-height: 2; max-height: 3; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,L", "leave", "Close", show=False),
        Binding("enter", "measure", "Measure", show=False),
        Binding("x", "cancel", "Cancel", show=False),
        Binding("down,j", "walk", "Walk the curves", show=False),
    ]

    def __init__(self, workbench: Workbench, to: TensorType = LOWEST) -> None:
        super().__init__()
        self._workbench = workbench
        plan = workbench.plan
        self._types = types_for(plan.shape, plan.recipe.imatrix) if plan else (LOWEST,)
        self._to = to if to in self._types else self._types[-1]
        self._refused = ""
        self._state: JobState | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """The type, the curves, the same in numbers, and what is being done."""
        with Vertical() as box:
            box.border_title = "how long quality lasts as blocks are lowered"
            box.border_subtitle = "←→ type · ↓ walk · enter start · x stop · esc close"
            yield Chooser("lowered to", id="to")
            yield CurvesChart()
            yield Static(id="table")
            yield Static(id="said")

    def on_mount(self) -> None:
        """Follow the workbench while the screen is open."""
        self._unsubscribe = self._workbench.subscribe(self._hear)
        self.query_one(Chooser).focus()
        self._show()

    def on_unmount(self) -> None:
        """Listen no more."""
        if self._unsubscribe:
            self._unsubscribe()

    def on_resize(self, event: Resize) -> None:
        """The table has as many columns as there is room for."""
        self.call_after_refresh(self._show)

    def _hear(self, change: Change) -> None:
        if change is Change.IMPORTANCE:
            self.call_later(self._show)
        elif change is Change.JOBS:
            self.call_later(self._follow_job)

    @property
    def _known(self) -> Lowered | None:
        return self._workbench.lowered.get(self._to)

    def _show(self) -> None:
        known = self._known
        self._state = self._job.state if self._job else None
        note = "" if known is None else " · measured" if known.is_whole else " · so far"
        self.query_one(Chooser).show(f"{self._to}{note}")
        curves = known.curves if known else ()
        self.query_one(CurvesChart).show(curves, self._invitation())
        table = self.query_one("#table", Static)
        table.display = any(len(curve.points) > 1 for curve in curves)
        table.update(
            table_of(curves, table.size.width or self.size.width - 8, self.query_one(CurvesChart).hue)
        )
        self._say()

    def _invitation(self) -> list[str]:
        if self._active is not None:
            return ["The curves come as they are measured."]
        return [
            f"No curves are known at {self._to} yet.",
            "",
            "enter  lower one block after the other, and measure",
        ]

    # -- what is said under them

    @property
    def _job(self) -> Job | None:
        """The last of the jobs that measure curves."""
        return next((job for job in reversed(self._workbench.jobs) if job.kind == "lowering"), None)

    @property
    def _active(self) -> Job | None:
        return self._job if self._job is not None and self._job.active else None

    def _follow_job(self) -> None:
        state = self._job.state if self._job else None
        if state is self._state:
            self._say()
        else:
            self._show()

    def _say(self) -> None:
        job, said = self._job, self.query_one("#said", Static)
        spot = self.query_one(CurvesChart).at_hand
        if spot is not None:
            said.update(Content(self._of_point(spot)))
        elif self._refused:
            said.update(Content.styled(self._refused, "$text-warning"))
        elif job is not None and job.active:
            said.update(progress_of(job, said.size.width or self.size.width - 8))
        elif job is not None and job.state is JobState.FAILED and self._known is None:
            said.update(Content.styled(f"Failed: {job.message}", "$text-error"))
        else:
            said.update(Content(self._how()))

    def _of_point(self, spot: Spot) -> str:
        """A point of a curve in words."""
        known, model = self._known, self._workbench.model
        label, number = spot.key if isinstance(spot.key, tuple) else ("", 0)
        curve = next((curve for curve in known.curves if curve.label == label), None) if known else None
        if curve is None or model is None:
            return ""
        point, blocks = curve.points[number], model.shape.block_count
        deviation = f" ±{100 * point.sd:.1f}" if point.sd else ""
        kld = "" if point.kld is None else f", KLD {small(point.kld)[0]} nats"
        what = "left out" if curve.is_pruned else f"lowered to {self._to}"
        return (
            f"{curve.label}: with {round(point.share * blocks)} of {blocks} blocks {what}, "
            f"{100 * point.kept:.1f}{deviation} % of the quality is kept{kld}."
        )

    def _how(self) -> str:
        """What the numbers are, once there are some; before that, what becomes of the type."""
        known, fallback = self._known, self._fallback()
        if known is None:
            return fallback or "LIM and ZD are estimated, and each block measured alone, before that."
        chunks = f"{known.chunks} chunk{'s' if known.chunks > 1 else ''}"
        so_far = "" if known.is_whole else " so far: enter goes on"
        return (
            f"Quality: the base's perplexity over the recipe's, on {chunks} of {self._workbench.corpus_name}"
            f"{so_far}. The least important blocks first; measured: by KLD alone at {PROBE}. {fallback}"
        ).rstrip()

    def _fallback(self) -> str:
        """How many tensors of the blocks llama.cpp gives another type than the one asked for."""
        model = self._workbench.model
        return fallback_sentence(model.shape, self._to) if model else ""

    # -- keys

    @on(Chooser.Stepped)
    def _step(self, event: Chooser.Stepped) -> None:
        place = self._types.index(self._to) + event.step
        self._to = self._types[place % len(self._types)]
        self._refused = ""
        self._show()

    def action_measure(self) -> None:
        """Start to measure the curves of the type, unless some are being measured."""
        if self._active is not None:
            return
        try:
            self._workbench.measure_lowering(self._to)
            self._refused = ""
        except (WorkbenchError, RecipeError) as error:
            self._refused = f"{error}."
        self._show()

    def action_cancel(self) -> None:
        """Stop measuring; the points that are known stay."""
        if (job := self._active) is not None:
            self._workbench.cancel(job.id)

    @on(ChartPane.Walked)
    def _follow_walk(self) -> None:
        self._say()

    @on(ChartPane.Chosen)
    def _measure_from_chart(self) -> None:
        self.action_measure()

    def action_walk(self) -> None:
        """Give the keys to the curves; tab gives them back to the type."""
        self.query_one(CurvesChart).focus()

    def action_leave(self) -> None:
        """Close the screen; what is measured goes on."""
        self.dismiss(self._to)


def fallback_sentence(shape: ModelShape, to: TensorType) -> str:
    """How many tensors of the blocks cannot have a type, and what they get instead; empty where all can."""
    in_blocks = [tensor for tensor in quantizable_tensors(shape) if tensor.block is not None]
    others = [fitting for tensor in in_blocks if (fitting := fitting_type(tensor, to)) is not to]
    if not others:
        return ""
    instead = " or ".join(dict.fromkeys(others))
    return f"{len(others)} of {len(in_blocks)} tensors do not divide into {to}'s blocks and become {instead}."
