"""The legend beneath the grid: which code and colour stands for which type."""

from __future__ import annotations

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from lqtui.recipe.recipe import Plan
from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.type_glyphs import FALLBACK_MARK, TypeStyles, code_of

_ALWAYS = (TensorType.F16, TensorType.Q8_0, TensorType.Q4_0)


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
        types = (*sorted(used, key=_bits), *sorted({*kept, *_ALWAYS[1:]} - used, key=_bits))
        fallen = any(p.fell_back for p in plan.tensors) if plan else False
        if (types, fallen) != (self._types, self._fallen):
            self._types, self._fallen = types, fallen
            self.refresh()

    def notify_style_update(self) -> None:
        """Use the new theme's colours."""
        super().notify_style_update()
        self.refresh()

    def render(self) -> Content:
        """As many entries as fit."""
        styles = TypeStyles(self.app)
        width = self.content_size.width
        note = Content.assemble((f" {FALLBACK_MARK} ", "bold $text-warning"), ("fell back", "$text-muted"))
        room = width - (note.cell_length + 1 if self._fallen else 0)
        chips: dict[TensorType, Content] = {}
        for tensor_type in self._types:  # those in use come first, for none of them to be left out
            chip = Content.assemble(
                (f" {code_of(tensor_type):<2}", Style.from_rich_style(styles[tensor_type].plain)),
                (f" {tensor_type}  ", "$text-muted"),
            ).stylize(Style.from_meta({"@click": f"screen.set_selected_type('{tensor_type}')"}))
            if chip.cell_length > room:
                break
            room -= chip.cell_length
            chips[tensor_type] = chip
        shown = [chips[tensor_type] for tensor_type in sorted(chips, key=_bits)]
        return Content.assemble(*shown, note) if self._fallen else Content.assemble(*shown)


def _bits(tensor_type: TensorType) -> tuple[float, str]:
    """The key that puts types of more bits first."""
    return -tensor_type.bits_per_weight, tensor_type
