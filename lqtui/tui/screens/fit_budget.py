"""Ask for a budget, and among which types the best recipe within it is sought."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.granularity import Granularity
from lqtui.recipe.selectors import roles
from lqtui.recipe.types import TensorType
from lqtui.solve.constraints import Constraints
from lqtui.tui.asked_budget import EXAMPLES, AskedBudget, Budgeted, parse_budget
from lqtui.tui.widgets.chooser import LABEL_WIDTH, Chooser
from lqtui.tui.widgets.quantities import mebibytes
from lqtui.tui.widgets.type_toggles import TypeToggles, types_for
from lqtui.workbench import DEFAULT_CANDIDATES, Job, Target, Workbench, WorkbenchError


class Hold(Enum):
    """What must become of the grid's selection."""

    NOTHING = "nothing"
    AS_NOW = "as now"
    NO_LOWER = "no lower than now"


_TIED = (("attn_q", "attn_k", "attn_v"), ("ffn_gate", "ffn_up"))
"""Roles that people want at one type in each block."""


@dataclass(frozen=True)
class BudgetChoices:
    """What was typed and chosen, kept for the next time."""

    text: str = ""
    types: tuple[TensorType, ...] = DEFAULT_CANDIDATES
    by: Granularity = Granularity.TENSOR
    hold: Hold = Hold.NOTHING
    tied: int = 0
    """Which of `ties_of` the model."""


@dataclass(frozen=True)
class Kept:
    """The grid's selection: what it is called, and the types that its tensors have now."""

    title: str
    types: Mapping[str, TensorType]


class BudgetScreen(ModalScreen[tuple[BudgetChoices, Job | None]]):
    """Starts a fit and gives its job; gives no job where the person leaves. What was typed is given back."""

    DEFAULT_CSS = """
    BudgetScreen { align: center middle; }
    BudgetScreen > Vertical {
        width: 78; max-width: 96%; height: auto; max-height: 98%; padding: 0 2;
        border: round $primary; background: $surface; overflow-y: auto; scrollbar-size-vertical: 1;
    }
    BudgetScreen Horizontal { height: 1; }
    BudgetScreen Input { width: 1fr; }
    BudgetScreen Label { color: $text-primary; }
    BudgetScreen #said { height: auto; min-height: 1; padding: 0 0 0 17; color: $text-muted; }
    BudgetScreen #said.-problem { padding: 0; color: $text-warning; }
    BudgetScreen #range { height: auto; margin-top: 1; }
    BudgetScreen #among { height: 1; margin-top: 1; color: $text-primary; }
    BudgetScreen #types { margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Cancel", show=False),
        Binding("enter", "start", "Start", show=False),
        Binding("up,k", "app.focus_previous", "Up", show=False),
        Binding("down,j", "app.focus_next", "Down", show=False),
    ]

    def __init__(self, workbench: Workbench, kept: Kept, choices: BudgetChoices | None = None) -> None:
        super().__init__()
        self._workbench = workbench
        self._kept = kept
        self._choices = choices or BudgetChoices()
        self._range_is_of: tuple[TensorType, ...] | None = None
        self._ties = _ties_of(workbench)

    def compose(self) -> ComposeResult:
        """The budget, what is possible, and among what is chosen."""
        plan = self._workbench.plan
        offered = (TensorType.F16, *types_for(plan.shape, plan.recipe.imatrix)) if plan else ()
        with Vertical() as box:
            box.border_title = "fit a budget"
            box.border_subtitle = "↑↓ ←→ choose · space type on/off · enter fit · esc cancel"
            with Horizontal():
                yield Label("least KLD in".ljust(LABEL_WIDTH))
                yield Input(
                    self._choices.text, placeholder=EXAMPLES, select_on_focus=True, compact=True, id="budget"
                )
            yield Static(id="said")
            yield Static(id="range")
            yield Static("candidate types", id="among")
            yield TypeToggles(offered, self._choices.types, id="types")
            yield Chooser("a type for each", id="by")
            yield Chooser("same type for", id="tied")
            yield Chooser("keep", id="keep")

    def on_mount(self) -> None:
        """Show the choices."""
        self._show()

    @property
    def choices(self) -> BudgetChoices:
        """What is typed and chosen now."""
        types = self.query_one(TypeToggles).chosen
        return replace(self._choices, text=self.query_one(Input).value, types=types)

    # -- what is shown ------------------------------------------------------------------------------

    @on(TypeToggles.Changed)
    def _show(self) -> None:
        choices = self.choices
        self.query_one("#by", Chooser).show(choices.by)
        title = self._kept.title
        hold = choices.hold.value
        self.query_one("#keep", Chooser).show(hold if choices.hold is Hold.NOTHING else f"{title} {hold}")
        ties = self._ties[choices.tied % len(self._ties)]
        self.query_one("#tied", Chooser).show("; ".join(", ".join(tie) for tie in ties) or "none")
        if choices.types != self._range_is_of:
            self._range_is_of = choices.types
            self.query_one("#range", Static).update(self._range(choices.types))
        self._tell_target()

    def _range(self, types: tuple[TensorType, ...]) -> Content:
        """The sizes that are possible, around that of the recipe in the grid."""
        plan = self._workbench.plan
        now = f"this recipe {mebibytes(plan.file_bytes)} MiB, {plan.bits_per_weight:.2f} bpw" if plan else ""
        if not types:
            return Content(now)
        try:
            smallest, largest = self._workbench.smallest_and_largest(types)
        except (WorkbenchError, RecipeError) as error:
            return Content.styled(_sentence(error), "$text-warning")
        return Content.assemble(
            ("possible ".ljust(LABEL_WIDTH), "$text-primary"),
            f"{mebibytes(smallest)} to {mebibytes(largest)} MiB",
            (f"   {now}", "$text-muted"),
        )

    @on(Input.Changed)
    def _tell_target(self) -> None:
        """What is typed, as a size of file, as far as that can be told at once."""
        if not self.query_one(Input).value.strip():
            self._say("A number alone is the size of a file in MiB.")
            return
        try:
            asked = parse_budget(self.query_one(Input).value)
        except ValueError as error:
            self._say(str(error))
            return
        if asked.of in (Budgeted.VRAM, Budgeted.RAM):
            fit = self._workbench.fit
            context = f" at a context of {fit.n_ctx:,}" if fit else ""
            self._say(f"What runs in {mebibytes(int(asked.amount))} MiB of {asked.of.name}{context}.")
            return
        model = self._workbench.model
        if model is not None:
            size = self._target_at_once(asked).file_bytes
            of_base = size / model.shape.file_bytes
            self._say(f"A file of at most {mebibytes(size)} MiB, {of_base:.0%} of the base model's.")

    def _say(self, text: str, *, problem: bool = False) -> None:
        said = self.query_one("#said", Static)
        said.set_class(problem, "-problem")
        said.update(Content(text))

    # -- what is done -------------------------------------------------------------------------------

    @on(Chooser.Stepped)
    def _step(self, event: Chooser.Stepped) -> None:
        choices = self._choices
        if event.chooser.id == "by":
            other = Granularity.BLOCK if choices.by is Granularity.TENSOR else Granularity.TENSOR
            self._choices = replace(choices, by=other)
        elif event.chooser.id == "tied":
            self._choices = replace(choices, tied=(choices.tied + event.step) % len(self._ties))
        elif self._kept.types:
            holds = list(Hold)
            hold = holds[(holds.index(choices.hold) + event.step) % len(holds)]
            self._choices = replace(choices, hold=hold)
        self._show()

    @on(Input.Submitted)
    def action_start(self) -> None:
        """Start the fit, or say in a sentence why that cannot be."""
        self._start()

    @work(exclusive=True, exit_on_error=False)
    async def _start(self) -> None:
        choices = self.choices
        try:
            asked = parse_budget(choices.text)
            if not choices.types:
                raise ValueError("Turn on at least one candidate type.")
            target = await self._target(asked)
            constraints = self._constraints(choices)
            job = self._workbench.fit_recipe(target, choices.types, choices.by, constraints)
        except (ValueError, WorkbenchError, RecipeError) as error:
            self._say(_sentence(error), problem=True)
            self.query_one(Input).focus()
            return
        self.dismiss((choices, job))

    def _constraints(self, choices: BudgetChoices) -> Constraints:
        return Constraints(
            pins=self._kept.types if choices.hold is Hold.AS_NOW else {},
            floors=self._kept.types if choices.hold is Hold.NO_LOWER else {},
            ties=self._ties[choices.tied % len(self._ties)],
        )

    async def _target(self, asked: AskedBudget) -> Target:
        if asked.of in (Budgeted.FILE, Budgeted.BITS):
            return self._target_at_once(asked)
        self._say("Asking llama.cpp what a context takes beside the weights …")
        return await self._workbench.target_of_memory(int(asked.amount), vram=asked.of is Budgeted.VRAM)

    def _target_at_once(self, asked: AskedBudget) -> Target:
        if asked.of is Budgeted.BITS:
            return self._workbench.target_of_bpw(asked.amount)
        return self._workbench.target_of_size(int(asked.amount))

    def action_leave(self) -> None:
        """Leave, and keep what was typed for the next time."""
        self.dismiss((self.choices, None))


def _ties_of(workbench: Workbench) -> list[tuple[tuple[str, ...], ...]]:
    """No tie, each of those that the model has the roles for, and all of them."""
    known = set(roles(workbench.plan.shape)) if workbench.plan else set()
    ties = [tie for tie in _TIED if known.issuperset(tie)]
    together = [tuple(ties)] if len(ties) > 1 else []
    return [(), *((tie,) for tie in ties), *together]


def _sentence(error: Exception) -> str:
    """An error as a sentence of its own."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
