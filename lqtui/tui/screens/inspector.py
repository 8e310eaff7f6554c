"""Look into a tensor: its weights, and what each type makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Static

from lqtui.recipe.block_codes import RUNS
from lqtui.recipe.inspection import BlockValues, InspectedTensor, InspectedType, block_values
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import TensorInfo
from lqtui.recipe.types import TensorType
from lqtui.tui.inspection_plots import legend
from lqtui.tui.widgets.inspection import InspectionChart, Rung, block_said, error_said, facts, ladder, strip
from lqtui.workbench import Workbench, WorkbenchError
from lqtui.workbench.inspecting import WINDOW
from lqtui.worker.inspect_messages import InspectEvent, TensorInspected, TypeInspected

_SAMPLED = 1 << 18
"""Weights that errors are told over: all of a small tensor's, and enough of a large one's."""
_ROOMY = (110, 32)
"""Columns and lines from which all types stand beside the charts."""


@dataclass
class _Known:
    """What is known of a tensor by now."""

    types: tuple[TensorType, ...]
    tensor: InspectedTensor | None = None
    inspected: dict[TensorType, InspectedType] = field(default_factory=dict)
    problem: str = ""


class InspectorScreen(ModalScreen[tuple[str, TensorType] | None]):
    """One tensor at one type at a time; gives a tensor's name and the type to give it, or None."""

    DEFAULT_CSS = """
    InspectorScreen { align: center middle; }
    InspectorScreen > Vertical {
        width: 98%; max-width: 150; height: 98%; max-height: 46; padding: 0 1;
        border: round $primary; background: $surface;
    }
    InspectorScreen #facts { height: 2; }
    InspectorScreen #above { height: 7; }
    InspectorScreen.-roomy #above { height: 2fr; }
    InspectorScreen #below { height: 3fr; }
    InspectorScreen #ladder { display: none; width: 38; padding-left: 2; }
    InspectorScreen.-roomy #ladder { display: block; }
    InspectorScreen .title { height: 1; color: $text-muted; }
    InspectorScreen #strip { height: 1; }
    InspectorScreen #error { height: 1; text-style: bold; }
    InspectorScreen #legend { height: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,d", "dismiss(None)", "Close", show=False),
        Binding("enter", "give", "Give the tensor this type", show=False),
        Binding("left,h", "type(-1)", "More bits", show=False),
        Binding("right,l", "type(1)", "Fewer bits", show=False),
        Binding("left_square_bracket", "block(-1)", "Block before", show=False),
        Binding("right_square_bracket", "block(1)", "Next block", show=False),
        Binding("pageup", "row(-1)", "Row before", show=False),
        Binding("pagedown", "row(1)", "Next row", show=False),
        Binding("up,k", "tensor(-1)", "Tensor before", show=False),
        Binding("down,j", "tensor(1)", "Next tensor", show=False),
        Binding("f", "jump('F16')", "F16", show=False),
        Binding("8", "jump('Q8_0')", "Q8_0", show=False),
        Binding("6", "jump('Q6_K')", "Q6_K", show=False),
        Binding("5", "jump('Q5_K','Q5_0')", "Q5_K", show=False),
        Binding("4", "jump('Q4_0')", "Q4_0", show=False),
        Binding("3", "jump('Q3_K')", "Q3_K", show=False),
        Binding("2", "jump('Q2_K','Q2_0')", "Q2_K", show=False),
    ]

    def __init__(self, workbench: Workbench, name: str) -> None:
        super().__init__()
        self._workbench = workbench
        assert workbench.model is not None and workbench.plan is not None
        self._tensors = quantizable_tensors(workbench.model.shape)
        self._place = next(i for i, tensor in enumerate(self._tensors) if tensor.name == name)
        self._known: dict[str, _Known] = {}
        self._at = 0
        """The weight that the block in sight begins with, or holds."""
        self._asked_at = -WINDOW
        """The weight around which the process at work was asked to read."""
        self._type = workbench.plan.by_name[name].effective

    def compose(self) -> ComposeResult:
        """Facts, the weights and scales, the block, and the types."""
        with Vertical() as box:
            box.border_subtitle = "←→ type · [ ] block · ↑↓ tensor · enter set this type · esc close"
            yield Static(id="facts")
            with Horizontal():
                with Vertical():
                    with Horizontal(id="above"):
                        with Vertical():
                            yield Static("weights", id="weights-title", classes="title")
                            yield InspectionChart(id="weights")
                        with Vertical():
                            yield Static("scales", id="scales-title", classes="title")
                            yield InspectionChart(id="scales")
                    yield Static(id="strip")
                    yield Static(id="error")
                    yield Static(id="block-title", classes="title")
                    with Vertical(id="below"):
                        yield InspectionChart(id="block")
                    yield Static(id="legend")
                yield Static(id="ladder")

    def on_mount(self) -> None:
        """Begin with the tensor under the cursor."""
        self._enter()

    def on_resize(self, event: Resize) -> None:
        """Show the types beside the charts where there is room."""
        self.set_class(event.size.width >= _ROOMY[0] and event.size.height >= _ROOMY[1], "-roomy")
        self.call_after_refresh(self._show)

    # -- what is known

    @property
    def _tensor(self) -> TensorInfo:
        return self._tensors[self._place]

    @property
    def _now(self) -> _Known:
        return self._known[self._tensor.name]

    @property
    def _inspected(self) -> InspectedType | None:
        return self._now.inspected.get(self._type)

    @property
    def _seen(self) -> BlockValues | None:
        now, inspected = self._now, self._inspected
        if now.tensor is None or inspected is None or not inspected.run:
            return None
        return block_values(now.tensor, inspected, self._at // inspected.run)

    def _enter(self) -> None:
        """Turn to a tensor: to the type that is looked at, or the nearest that it can have."""
        tensor = self._tensor
        if tensor.name not in self._known:
            self._known[tensor.name] = _Known(self._workbench.inspectable_types(tensor))
        types = self._now.types
        if self._type not in types or not self._type.is_quantized:
            wanted = self._type if self._type.is_quantized else TensorType.Q4_0
            self._type = min(types, key=lambda t: abs(t.bits_per_weight - wanted.bits_per_weight))
        self._asked_at = -WINDOW
        if len(self._now.inspected) < len(types):
            self._inspect()
        self._settle()

    def _inspect(self) -> None:
        """Have a process tell of the tensor, and of each type that is not known, the nearest first."""
        tensor, now = self._tensor, self._now
        self._asked_at = self._at
        here = now.types.index(self._type)
        order = sorted(now.types, key=lambda each: abs(now.types.index(each) - here))
        self.run_worker(self._hear_all(tensor, now, order), exclusive=True, exit_on_error=False)

    async def _hear_all(self, tensor: TensorInfo, now: _Known, types: list[TensorType]) -> None:
        def hear(event: InspectEvent) -> None:
            match event:
                case TensorInspected():
                    now.tensor, now.problem = event.tensor, ""
                    now.inspected.clear()  # their values are of another window
                case TypeInspected():
                    now.inspected[event.inspected.type] = event.inspected
            if now is self._known.get(self._tensor.name):
                self._show()

        block = self._at // self._run
        try:
            await self._workbench.inspect(tensor, types, hear, block=block, sampled=_SAMPLED)
        except WorkbenchError as error:
            now.problem = str(error)
            self._show()

    @property
    def _run(self) -> int:
        """The weights in a block of the type at hand."""
        return RUNS.get(self._type, 1)

    # -- what is shown

    def _show(self) -> None:
        if not self.is_mounted:
            return
        tensor, now, inspected, seen = self._tensor, self._now, self._inspected, self._seen
        box = self.query_one("InspectorScreen > Vertical", Vertical)
        box.border_title = Content(f"inspect {tensor.name.removesuffix('.weight')}")
        statistics = now.tensor.statistics if now.tensor else None
        self._say("facts", facts(tensor, statistics))
        self._chart("weights", statistics.histogram if statistics else "reading …")
        waiting = now.problem or f"quantizing to {self._type} …"
        if inspected is None:
            self._chart("scales", waiting)
            self._chart("block", waiting)
        elif not inspected.run:
            self._chart("scales", f"{self._type} has no blocks")
            self._chart("block", f"{self._type} rounds each weight by itself")
        else:
            self._chart("scales", inspected.spread or "")
            self._chart("block", seen or "reading …")
        sampled = inspected is not None and inspected.error.weights < tensor.n_weights
        over = f" · errors over {inspected.error.weights:,}" if inspected is not None and sampled else ""
        self._say("weights-title", f"weights{over}")
        decoded = inspected is None or bool(inspected.codes)
        self._say("scales-title", "scales of all blocks" if decoded else "greatest values of all blocks")
        self._say("block-title", block_said(seen, tensor) if seen else "")
        self._say("legend", legend(seen) if seen else "")
        self._say("error", self._error(inspected))
        self._say("strip", strip(now.types, self._type, self.query_one("#strip").size.width or 70))
        rungs = [Rung(each, now.inspected.get(each)) for each in now.types]
        self._say("ladder", ladder(rungs, self._type))

    def _error(self, inspected: InspectedType | None) -> Content:
        if inspected is None:
            return Content.styled(self._now.problem or "…", "$text-warning" if self._now.problem else "dim")
        weighted = self._workbench.weighted_error(self._tensor.name, self._type)
        return Content(f"{self._type}: {error_said(inspected.error, weighted)}")

    def _say(self, place: str, said: str | Content) -> None:
        self.query_one(f"#{place}", Static).update(Content(said) if isinstance(said, str) else said)

    def _chart(self, place: str, scene: object) -> None:
        self.query_one(f"#{place}", InspectionChart).show_scene(scene)

    # -- keys

    def action_type(self, step: int) -> None:
        """Look at the type of the next more or fewer bits."""
        types = self._now.types
        self._type = types[min(max(types.index(self._type) + step, 0), len(types) - 1)]
        self._settle()

    def action_jump(self, *names: str) -> None:
        """Look at a type, or at the first of some that the tensor can have."""
        self._type = next((TensorType(n) for n in names if TensorType(n) in self._now.types), self._type)
        self._settle()

    def action_block(self, step: int) -> None:
        """Look at the next block, or the one before."""
        self._move_to((self._at // self._run + step) * self._run)

    def action_row(self, step: int) -> None:
        """Look at the same place of the next row, or of the one before."""
        self._move_to(self._at + step * self._tensor.columns)

    def _move_to(self, place: int) -> None:
        if 0 <= place < self._tensor.n_weights:
            self._at = place
            self._settle()

    def _settle(self) -> None:
        """Show what is looked at now; weights out of sight are read first."""
        has_blocks = self._inspected is not None and self._inspected.run > 0
        is_coming = abs(self._at - self._asked_at) < WINDOW // 4
        if has_blocks and self._seen is None and not is_coming:
            self._inspect()
        self._show()

    def action_tensor(self, step: int) -> None:
        """Look at the next tensor, or the one before."""
        place = min(max(self._place + step, 0), len(self._tensors) - 1)
        if place != self._place:
            self._place, self._at = place, 0
            self._enter()

    def action_give(self) -> None:
        """Give the tensor the type that is looked at."""
        self.dismiss((self._tensor.name, self._type))
