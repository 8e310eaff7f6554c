"""Types that are each on or off, side by side in a dialog."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.style import Style
from textual.widget import Widget

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.rules import fitting_type, quantizable_tensors, requires_imatrix
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TARGET_TYPES, TensorType
from lqtui.tui.widgets.type_glyphs import TypeStyles, code_of

_CELL = 14


class TypeToggles(Widget, can_focus=True):
    """A few lines of types; arrows move, space turns one on or off."""

    DEFAULT_CSS = """
    TypeToggles { width: 1fr; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "Left", show=False),
        Binding("right,l", "move(1)", "Right", show=False),
        Binding("up,k", "row(-1)", "Up", show=False),
        Binding("down,j", "row(1)", "Down", show=False),
        Binding("space", "switch", "On or off", show=False),
    ]

    class Changed(Message):
        """Other types are on now."""

    def __init__(self, types: Sequence[TensorType], on: Collection[TensorType], *, id: str) -> None:
        super().__init__(id=id)
        self._types = tuple(types)
        self._on = set(on) & set(types)
        self._cursor = next((i for i, t in enumerate(self._types) if t in self._on), 0)

    @property
    def chosen(self) -> tuple[TensorType, ...]:
        """The types that are on, from the most bits to the fewest."""
        return tuple(t for t in self._types if t in self._on)

    @property
    def _columns(self) -> int:
        return max(1, self.content_size.width // _CELL)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as the types take."""
        return -(-len(self._types) // max(1, width // _CELL))

    def render(self) -> Content:
        """Each type's mark, code and name; what is off is dim and has no mark."""
        styles = TypeStyles(self.app)
        rows = [self._types[i : i + self._columns] for i in range(0, len(self._types), self._columns)]
        return Content("\n").join(
            Content.assemble(*(self._cell(each, styles) for each in row)) for row in rows
        )

    def _cell(self, each: TensorType, styles: TypeStyles) -> Content:
        on = each in self._on and not self.is_disabled
        here = self.has_focus and each is self._types[self._cursor]
        code, name = f" {code_of(each):<2}", f" {each}"
        chip = Style.from_rich_style(styles[each].plain) if on else "dim"
        rest = " " * max(0, _CELL - 3 - len(code) - len(name))
        named = (name, "bold reverse" if here else "" if on else "dim")
        return Content.assemble(
            ("✓ " if on else "· ", "$text-success" if on else "dim"), (code, chip), named, rest + " "
        )

    def on_focus(self) -> None:
        """Show the cursor."""
        self.refresh()

    def on_blur(self) -> None:
        """Show no cursor."""
        self.refresh()

    def action_move(self, step: int) -> None:
        """Move the cursor."""
        self._cursor = min(max(self._cursor + step, 0), len(self._types) - 1)
        self.refresh()

    def action_row(self, step: int) -> None:
        """Move the cursor by a line; beyond the first and the last, go on to what is above or below."""
        target = self._cursor + step * self._columns
        if 0 <= target < len(self._types):
            self._cursor = target
            self.refresh()
        elif step > 0:
            self.screen.focus_next()
        else:
            self.screen.focus_previous()

    def action_switch(self) -> None:
        """Turn the type under the cursor on or off."""
        self._on ^= {self._types[self._cursor]}
        self.refresh()
        self.post_message(self.Changed())

    def on_click(self, event: events.Click) -> None:
        """Turn a type on or off by the mouse."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        index = offset.y * self._columns + offset.x // _CELL
        if offset.x // _CELL < self._columns and index < len(self._types):
            self._cursor = index
            self.action_switch()


def types_for(shape: ModelShape, imatrix: Imatrix | None = None) -> tuple[TensorType, ...]:
    """The quantized types that all of a model's tensors can be given.

    With an importance matrix, those that need it are among them, if it knows all tensors of the blocks; what
    is outside them then keeps to the other types.
    """
    if imatrix is not None:
        tensors = [tensor for tensor in quantizable_tensors(shape) if tensor.block is not None]
        return tuple(t for t in TARGET_TYPES if t.is_quantized and all(_fits(x, t, imatrix) for x in tensors))
    by_columns = {(tensor.columns, tensor.block is None): tensor for tensor in quantizable_tensors(shape)}
    return tuple(
        each
        for each in TARGET_TYPES
        if each.is_quantized and all(_fits(t, each) for t in by_columns.values())
    )


def _fits(tensor: TensorInfo, wanted: TensorType, imatrix: Imatrix | None = None) -> bool:
    try:
        return not requires_imatrix(tensor, fitting_type(tensor, wanted), imatrix=imatrix)
    except RecipeError:
        return False
