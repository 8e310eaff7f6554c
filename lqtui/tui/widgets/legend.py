"""The legend beneath the grid: which code and colour stands for which type."""

from __future__ import annotations

from itertools import accumulate

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from lqtui.recipe.recipe import Plan
from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.type_glyphs import FALLBACK_MARK, TypeStyles, code_of

_ALWAYS = (TensorType.F16, TensorType.Q8_0, TensorType.Q4_0)
_NOTE = f" {FALLBACK_MARK} fell back"


class Legend(Widget):
    """Explains the codes of the types that the plan uses, and of the three that have keys.

    A click on one gives that type to what is selected in the layers.
    """

    DEFAULT_CSS = """
    Legend { height: 1; width: 1fr; padding: 0 1; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.set_reactive(Legend.auto_links, False)  # which would underline what can be clicked
        self._types: tuple[TensorType, ...] = _ALWAYS
        self._fallen = False

    def show_plan(self, plan: Plan | None) -> None:
        """Explain what a plan uses."""
        used = {p.effective for p in plan.tensors if p.quantizable} if plan else set()
        kept = () if TensorType.BF16 in used else (TensorType.F16,)
        before = self._shown, self._fallen
        self._types = (*sorted(used, key=_bits), *sorted({*kept, *_ALWAYS[1:]} - used, key=_bits))
        self._fallen = any(p.fell_back for p in plan.tensors) if plan else False
        if (self._shown, self._fallen) != before:
            self.refresh()

    def notify_style_update(self) -> None:
        """Use the new theme's colours."""
        super().notify_style_update()
        self.refresh()

    @property
    def _shown(self) -> list[TensorType]:
        """As many types as fit; those in use come first, for none of them to be left out."""
        room = self.content_size.width - (len(_NOTE) + 1 if self._fallen else 0)
        widths = accumulate(sum(map(len, _chip(tensor_type))) for tensor_type in self._types)
        fitting = [
            tensor_type for tensor_type, width in zip(self._types, widths, strict=True) if width <= room
        ]
        return sorted(fitting, key=_bits)

    def render(self) -> Content:
        """As many entries as fit."""
        styles = TypeStyles(self.app)
        entries = []
        for tensor_type in self._shown:
            code, name = _chip(tensor_type)
            plain = Style.from_rich_style(styles[tensor_type].plain)
            chosen = Style.from_meta({"@click": f"screen.set_selected_type('{tensor_type}')"})
            entries.append(Content.assemble((code, plain), (name, "$text-muted")).stylize(chosen))
        if self._fallen:
            mark, meaning = _NOTE[:3], _NOTE[3:]
            entries.append(Content.assemble((mark, "bold $text-warning"), (meaning, "$text-muted")))
        return Content.assemble(*entries)


def _chip(tensor_type: TensorType) -> tuple[str, str]:
    """A type's code and name."""
    return f" {code_of(tensor_type):<2}", f" {tensor_type}  "


def _bits(tensor_type: TensorType) -> tuple[float, str]:
    """The key that puts types of more bits first."""
    return -tensor_type.bits_per_weight, tensor_type
