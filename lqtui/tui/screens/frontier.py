"""The best recipe of every size, in a list."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static

from lqtui.measure.rounding import plus_minus, small
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.recipe import Recipe
from lqtui.tui.keys.shown import key_of
from lqtui.tui.screens.fit_budget import BudgetChoices
from lqtui.tui.widgets.jobs import progress_of
from lqtui.tui.widgets.line_list import Line, LineList
from lqtui.tui.widgets.quantities import mebibytes
from lqtui.workbench import Change, FrontierPoint, Job, JobState, Workbench, WorkbenchError

_HEADER = f"    {'MiB':>7}  {'bpw':>5}  {'predicted':>9}  {'measured KLD':<16}"


class FrontierList(LineList):
    """One line a recipe, from the smallest on: hollow marks are predicted, ringed ones measured too."""

    BINDINGS: ClassVar[list[BindingType]] = []
    empty = "No frontier is known yet.\n\nf  find the best recipe of every size\n\nb  or fit one budget first"

    class Chosen(Message):
        """A recipe was chosen."""

        def __init__(self, recipe: Recipe) -> None:
            super().__init__()
            self.recipe = recipe

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._points: dict[Hashable, FrontierPoint] = {}
        self._current: str | None = None

    def show(self, points: Sequence[FrontierPoint], current: str | None) -> None:
        """Show a frontier; `current` is the digest of the recipe in the grid."""
        self._points, self._current = {point.plan.digest: point for point in points}, current
        self.update_lines()

    def show_knee(self) -> None:
        """Put the cursor on the recipe in the grid, or else on the knee."""
        knee = next((digest for digest, point in self._points.items() if point.is_knee), None)
        self.move_cursor(self._current if self._current in self._points else knee)

    def choose(self, key: Hashable) -> None:
        """Tell which recipe was chosen."""
        self.post_message(self.Chosen(self._points[key].plan.recipe))

    def build_lines(self, width: int) -> tuple[Content | None, list[Line]]:
        """The titles, and one line a recipe."""
        if not self._points:
            return None, []
        return Content(_HEADER), [Line(digest, self._line(point)) for digest, point in self._points.items()]

    def _line(self, point: FrontierPoint) -> Content:
        plan, is_measured = point.plan, point.measured_kld is not None
        measured = (
            plus_minus(small(point.measured_kld, point.measured_kld_se))
            if point.measured_kld is not None
            else ""
        )
        return Content.assemble(
            ("▸" if plan.digest == self._current else " ", "bold $accent"),
            ("◉ " if is_measured else "○ ", "$text-primary" if is_measured else "dim"),
            f" {mebibytes(plan.file_bytes):>7}  {plan.bits_per_weight:5.2f}  ",
            (f"{small(point.predicted_kld)[0]:>9}", "$text-muted"),
            f"  {measured:<16}",
            ("  knee" if point.is_knee else "", "bold $text-accent"),
        )


class FrontierScreen(ModalScreen[Recipe | None]):
    """The frontier, and a key to find it; gives the chosen recipe, or None."""

    DEFAULT_CSS = """
    FrontierScreen { align: center middle; }
    FrontierScreen > Vertical {
        width: 68; max-width: 96%; height: 90%; max-height: 40; padding: 0 1;
        border: round $primary; background: $surface;
    }
    FrontierScreen FrontierList { border: none; padding: 0; &:focus { border: none; } }
    FrontierScreen #said { height: auto; margin-top: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,F", "dismiss(None)", "Close", show=False),
        Binding("f", "find", "Find the frontier", show=False),
        Binding("x", "cancel", "Cancel", show=False),
    ]

    def __init__(self, workbench: Workbench, choices: BudgetChoices) -> None:
        super().__init__()
        self._workbench = workbench
        self._choices = choices
        self._refused = ""
        self._unsubscribe: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """The list, and what it is."""
        with Vertical() as box:
            box.border_title = "frontier"
            box.border_subtitle = "↑↓ choose · enter use · f find it anew · x cancel · esc close"
            yield FrontierList()
            yield Static(id="said")

    def on_mount(self) -> None:
        """Follow the workbench while the screen is open."""
        self._unsubscribe = self._workbench.subscribe(self._hear)
        self._show()
        self.call_after_refresh(self.query_one(FrontierList).show_knee)

    def on_unmount(self) -> None:
        """Listen no more."""
        if self._unsubscribe:
            self._unsubscribe()

    def _hear(self, change: Change) -> None:
        if change is Change.IMPORTANCE:
            self.call_later(self._show)
        elif change is Change.JOBS:
            self.call_later(self._say)

    @property
    def _job(self) -> Job | None:
        """The last of the jobs that find a frontier."""
        return next((job for job in reversed(self._workbench.jobs) if job.kind == "frontier"), None)

    def _show(self) -> None:
        plan, points = self._workbench.plan, self._workbench.frontier
        self.query_one(FrontierList).show(points, plan.digest if plan else None)
        self._say()

    def _say(self) -> None:
        job, said = self._job, self.query_one("#said", Static)
        if self._refused:
            said.update(Content.styled(self._refused, "$text-warning"))
        elif job is not None and job.active:
            said.update(progress_of(job, said.size.width or self.size.width - 8))
        elif job is not None and job.state is JobState.FAILED and not self._workbench.frontier:
            said.update(Content.styled(f"Failed: {job.message}", "$text-error"))
        else:
            said.update(Content(self._how()))

    def _how(self) -> str:
        """What the numbers are, once there are some; before that, among what recipes are sought."""
        points = self._workbench.frontier
        if not points:
            types = ", ".join(self._choices.types)
            others = f"{key_of(self, 'matters.budget')} chooses others"
            return f"Among {types}, a type for each {self._choices.by}; {others}."
        count = sum(point.measured_kld is not None for point in points)
        return (
            f"○ predicted, ◉ measured too ({count} of {len(points)}), both on the half of the text that "
            "recipes are fitted on."
        )

    @on(FrontierList.Chosen)
    def _choose(self, event: FrontierList.Chosen) -> None:
        self.dismiss(event.recipe)

    def action_find(self) -> None:
        """Find the frontier in the background, unless that is being done."""
        if self._job is not None and self._job.active:
            return
        try:
            self._workbench.find_frontier(self._choices.types, self._choices.by)
            self._refused = ""
        except (WorkbenchError, RecipeError) as error:
            self._refused = f"{error}."
        self._say()

    def action_cancel(self) -> None:
        """Stop looking; what is found stays."""
        if self._job is not None and self._job.active:
            self._workbench.cancel(self._job.id)
