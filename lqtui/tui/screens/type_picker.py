"""Choose any of llama.cpp's types for the selected tensors, knowing what each would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.style import Style
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.recipe import PlannedTensor
from lqtui.recipe.rules import fitting_type, requires_imatrix
from lqtui.recipe.types import TARGET_TYPES, TensorType
from lqtui.tui.widgets.quantities import size
from lqtui.tui.widgets.type_glyphs import FALLBACK_MARK, TypeStyles, code_of


class Outlook:
    """What giving tensors a type would do: their bytes, how many fall back, and why it may be impossible."""

    def __init__(self, planned: Sequence[PlannedTensor], tensor_type: TensorType) -> None:
        self.bytes = 0
        self.fallbacks: dict[TensorType, int] = {}
        self.problem = ""
        for each in planned:
            try:
                effective = fitting_type(each.tensor, tensor_type)
            except RecipeError:
                self.problem = f"rows of {each.tensor.columns} do not fit"
                return
            if requires_imatrix(each.tensor, effective):
                self.problem = "needs an importance matrix"
                return
            self.bytes += each.tensor.bytes_as(effective)
            if effective is not tensor_type:
                self.fallbacks[effective] = self.fallbacks.get(effective, 0) + 1


class TypePicker(ModalScreen[TensorType | None]):
    """All types from the most bits to the fewest; gives the chosen one, or None."""

    DEFAULT_CSS = """
    TypePicker { align: center middle; }
    TypePicker > Vertical {
        width: 76; max-width: 96%; height: auto; max-height: 90%; padding: 0 1;
        border: round $primary; background: $surface;
    }
    TypePicker OptionList {
        height: auto; max-height: 1fr; border: none; padding: 0; background: $surface;
        scrollbar-size-vertical: 1;
        &:focus { border: none; }
    }
    TypePicker Static { height: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,t", "dismiss(None)", "Cancel", show=False),
        Binding("j", "cursor(1)", "Down", show=False),
        Binding("k", "cursor(-1)", "Up", show=False),
        Binding("f", "choose('F16')", "F16", show=False),
        Binding("8", "choose('Q8_0')", "Q8_0", show=False),
        Binding("6", "choose('Q6_K')", "Q6_K", show=False),
        Binding("5", "choose('Q5_K')", "Q5_K", show=False),
        Binding("4", "choose('Q4_0')", "Q4_0", show=False),
        Binding("3", "choose('Q3_K')", "Q3_K", show=False),
        Binding("2", "choose('Q2_K')", "Q2_K", show=False),
    ]

    def __init__(self, planned: Sequence[PlannedTensor], title: str) -> None:
        super().__init__()
        self._planned = planned
        self._title = title
        self._outlooks = {t: Outlook(planned, t) for t in TARGET_TYPES}

    def compose(self) -> ComposeResult:
        """A heading and one line per type."""
        styles = TypeStyles(self.app)
        now = {p.requested for p in self._planned}
        with Vertical() as box:
            box.border_title = f"type for {self._title}"
            box.border_subtitle = "enter choose · digits jump · esc cancel"
            yield Static(f"  {'':3} {'type':<8} {'bpw':>6}  {'family':<8} {'size':>10}")
            yield OptionList(
                *(
                    Option(
                        self._line(t, styles, t in now), id=str(t), disabled=bool(self._outlooks[t].problem)
                    )
                    for t in TARGET_TYPES
                )
            )

    def on_mount(self) -> None:
        """Start at the type that the first tensor has."""
        options = self.query_one(OptionList)
        options.highlighted = options.get_option_index(str(self._planned[0].requested))
        options.focus()

    def _line(self, tensor_type: TensorType, styles: TypeStyles, is_now: bool) -> Content:
        outlook = self._outlooks[tensor_type]
        chip = Style.from_rich_style(styles[tensor_type].plain)
        parts: list[Content | tuple[str, str | Style]] = [
            ("• " if is_now else "  ", "bold"),
            (f" {code_of(tensor_type):<2}", chip),
            (f" {tensor_type:<8} {tensor_type.bits_per_weight:>6.3g}  ", ""),
            (f"{tensor_type.layout.family:<8} ", "$text-muted"),
        ]
        if outlook.problem:
            parts.append((f"{outlook.problem}", "italic"))
        else:
            parts.append((f"{size(outlook.bytes):>10}", ""))
            if outlook.fallbacks:
                parts.append((f"  {FALLBACK_MARK} {self._fallbacks(outlook)}", "$text-warning"))
        return Content.assemble(*parts)

    def _fallbacks(self, outlook: Outlook) -> str:
        """What the tensors really become, and how many of them."""
        count = len(self._planned)
        return ", ".join(
            f"becomes {kind}" if count == 1 else f"all become {kind}" if n == count else f"{n} become {kind}"
            for kind, n in outlook.fallbacks.items()
        )

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(TensorType(str(event.option.id)))

    def action_cursor(self, step: int) -> None:
        """Move the highlight."""
        options = self.query_one(OptionList)
        options.action_cursor_down() if step > 0 else options.action_cursor_up()

    def action_choose(self, name: str) -> None:
        """Jump to a type."""
        options = self.query_one(OptionList)
        options.highlighted = options.get_option_index(name)
