"""Choose any of llama.cpp's types for the selected tensors, knowing what each is, needs and would do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.recipe import PlannedTensor
from lqtui.recipe.rules import fitting_type, requires_imatrix
from lqtui.recipe.types import TARGET_TYPES, Family, TensorType
from lqtui.tui.widgets.choices import Choices
from lqtui.tui.widgets.quantities import fine_size, shortened
from lqtui.tui.widgets.type_glyphs import FALLBACK_MARK, TypeStyles, code_of

_GROUPS = {
    Family.FLOAT: "unquantized",
    Family.LEGACY: "legacy: each block has a scale, some a minimum too",
    Family.K: "K: super-blocks of 256, whose blocks have scales of few bits",
    Family.I: "I: values from codebooks, the best of them by an importance matrix",
    Family.FP4: "FP4: floats of 4 bits, for models trained so",
    Family.TERNARY: "ternary: -1, 0 and 1 times a scale, for models trained so",
}
"""The families, as llama.cpp's documentation groups the types, and what is special about each."""
_IMATRIX = "needs an importance matrix"
_NAME = 24
"""Cells for the name of a matrix or a file."""
_UNKNOWN = "not in the importance matrix"


class Outlook:
    """What giving tensors a type would do: their bytes, how many fall back, and why it may be impossible.

    What lacks no more than an importance matrix can be chosen: one can be made. What has the type in the
    recipe's quantized file is copied from that, and needs none.
    """

    def __init__(
        self,
        planned: Sequence[PlannedTensor],
        tensor_type: TensorType,
        imatrix: Imatrix | None = None,
        file: QuantizedFile | None = None,
    ) -> None:
        self.bytes = 0
        self.copied = 0
        self.has_imatrix = False
        self.fallbacks: dict[TensorType, int] = {}
        self.problem = ""
        self.needs_imatrix = False
        for each in planned:
            try:
                effective = fitting_type(each.tensor, tensor_type)
            except RecipeError:
                self.problem = f"rows of {each.tensor.columns} do not fit"
                return
            if file is not None and file.encoding(each.tensor, effective).file:
                self.copied += 1
            elif requires_imatrix(each.tensor, effective, imatrix=imatrix):
                if imatrix is not None:
                    self.problem = _UNKNOWN
                    return
                self.needs_imatrix = True
            elif imatrix is not None and requires_imatrix(each.tensor, effective):
                self.has_imatrix = True
            self.bytes += each.tensor.bytes_as(effective)
            if effective is not tensor_type:
                self.fallbacks[effective] = self.fallbacks.get(effective, 0) + 1


class TypePicker(ModalScreen[TensorType | None]):
    """All types, family by family from the most bits to the fewest; gives the chosen one, or None."""

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
        Binding("tab", "next_family(1)", "Next family", show=False),
        Binding("shift+tab", "next_family(-1)", "Family before", show=False),
        Binding("f", "choose('F16')", "F16", show=False),
        Binding("8", "choose('Q8_0')", "Q8_0", show=False),
        Binding("6", "choose('Q6_K')", "Q6_K", show=False),
        Binding("5", "choose('Q5_K')", "Q5_K", show=False),
        Binding("4", "choose('Q4_0')", "Q4_0", show=False),
        Binding("3", "choose('Q3_K')", "Q3_K", show=False),
        Binding("2", "choose('Q2_K')", "Q2_K", show=False),
    ]

    def __init__(
        self,
        planned: Sequence[PlannedTensor],
        title: str,
        imatrix: Imatrix | None = None,
        file: QuantizedFile | None = None,
    ) -> None:
        super().__init__()
        self._imatrix, self._file = imatrix, file
        self._planned = planned
        self._title = title
        self._outlooks = {t: Outlook(planned, t, imatrix, file) for t in TARGET_TYPES}

    def compose(self) -> ComposeResult:
        """A heading, and under the name of each family one line per type."""
        with Vertical() as box:
            box.border_title = Content(f"type for {self._title}")
            box.border_subtitle = "enter choose · digits jump · tab next family · esc cancel"
            yield Static(f"  {'':3} {'type':<8} {'bpw':>6} {'block':>5} {'size':>10}")
            yield Choices(*self._options())

    def _options(self) -> Iterator[Option]:
        styles = TypeStyles(self.app)
        now = {p.requested for p in self._planned}
        for family, title in _GROUPS.items():
            yield Option(Content.styled(title, "bold $text-primary"), disabled=True)
            for each in TARGET_TYPES:
                if each.layout.family is family:
                    line = self._line(each, styles, each in now)
                    yield Option(line, id=str(each), disabled=bool(self._outlooks[each].problem))

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
            (f" {tensor_type:<8} {tensor_type.bits_per_weight:>6.4g} ", ""),
            (f"{tensor_type.block_size:>5} ", "$text-muted"),
        ]
        if outlook.problem:
            parts.append((f"  {outlook.problem}", "italic"))
        else:
            parts.append((f"{fine_size(outlook.bytes):>10}", ""))
            if outlook.needs_imatrix:
                parts.append((f"  {_IMATRIX}", "$text-warning"))
            elif outlook.has_imatrix and self._imatrix is not None:
                parts.append((f"  by {shortened(self._imatrix.name, _NAME)}", "$text-success"))
            if outlook.copied and self._file is not None:
                parts.append((f"  {self._copies(outlook)}", "$text-success"))
            if outlook.fallbacks:
                parts.append((f"  {FALLBACK_MARK} {self._fallbacks(outlook)}", "$text-warning"))
        return Content.assemble(*parts)

    def _copies(self, outlook: Outlook) -> str:
        """What is copied, where that is not all, and from which file."""
        some = "" if outlook.copied == len(self._planned) else f"{outlook.copied} "
        name = self._file.name if self._file is not None else ""
        return f"{some}copied from {shortened(name, _NAME)}"

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

    def action_choose(self, name: str) -> None:
        """Jump to a type."""
        options = self.query_one(OptionList)
        options.highlighted = options.get_option_index(name)

    def action_next_family(self, step: int) -> None:
        """Jump to the first type of the next family that can be chosen, or of the one before."""
        options = self.query_one(OptionList)
        firsts: dict[Family, int] = {}
        for each in TARGET_TYPES:
            if not self._outlooks[each].problem:
                firsts.setdefault(each.layout.family, options.get_option_index(str(each)))
        places = sorted(firsts.values())
        here = options.highlighted or 0
        group = sum(place <= here for place in places) - 1
        if places:
            options.highlighted = places[(group + step) % len(places)]
