"""The recipe in the grid beside another file or recipe, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.style import Style
from textual.widgets import Static

from lqtui.recipe.differences import Difference, Side, differences
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.grid_layout import GridColumn, GridRow, grid_layout
from lqtui.tui.widgets.line_list import Line, LineList
from lqtui.tui.widgets.quantities import MIB, size
from lqtui.tui.widgets.type_glyphs import TypeStyles, code_of

_CELL = 6
"""Columns of a cell: two codes, the arrow between them, and a gap."""
_SAME, _NONE = "·", " "


class DifferenceList(LineList):
    """One line a block: of each tensor that differs the codes of both types, of the others a dot."""

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, shape: ModelShape, found: Mapping[str, Difference]) -> None:
        super().__init__()
        self._layout = grid_layout(shape)
        self._found = found

    def on_mount(self) -> None:
        """Draw the lines."""
        self.update_lines()

    def build_lines(self, width: int) -> tuple[Content | None, list[Line]]:
        """Roles as titles, then the rows of the grid."""
        label = self._layout.label_width
        heads = "".join(f"{column.label:<{_CELL}}" for column in self._layout.columns)
        styles = TypeStyles(self.app)
        lines = [Line(row.label, self._line(row, styles)) for row in self._layout.rows if row.names]
        return Content(f"{'blk':>{label}}  {heads}{'MiB more':>9}"), lines

    def _line(self, row: GridRow, styles: TypeStyles) -> Content:
        cells = [
            self._cell(name, column, styles)
            for name, column in zip(row.cells, self._layout.columns, strict=True)
        ]
        more = sum(self._found[name].bytes_more for name in row.names if name in self._found)
        said = f"{more / MIB:+9.2f}" if more else ""
        label = f"{row.label:>{self._layout.label_width}}  "
        return Content.assemble((label, "$foreground 70%"), *cells, (said, "$text-muted"))

    def _cell(self, name: str | None, column: GridColumn, styles: TypeStyles) -> Content:
        difference = self._found.get(name) if name else None
        if difference is None:
            return Content.styled(f"{_SAME if name else _NONE:<{_CELL}}", "dim")
        chips = Content.assemble(
            _chip(difference.type, styles), ("→", "dim"), _chip(difference.other, styles)
        )
        return Content.assemble(chips, " " * max(0, _CELL - chips.cell_length))


def _chip(kind: TensorType | None, styles: TypeStyles) -> Content:
    if kind is None:
        return Content("–")
    return Content.styled(code_of(kind), Style.from_rich_style(styles[kind].plain))


class CompareScreen(ModalScreen[bool]):
    """Where two recipes differ; True where the person wants the other's types in the grid."""

    DEFAULT_CSS = """
    CompareScreen { align: center middle; }
    CompareScreen > Vertical {
        width: 76; max-width: 96%; height: 90%; max-height: 44; padding: 0 1;
        border: round $primary; background: $surface;
    }
    CompareScreen DifferenceList { border: none; padding: 0; &:focus { border: none; } }
    CompareScreen Static { height: auto; }
    CompareScreen #legend { margin-top: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,equals_sign", "dismiss(False)", "Close", show=False),
        Binding("t,enter", "dismiss(True)", "Take its types", show=False, priority=True),
    ]

    def __init__(self, shape: ModelShape, side: Side, other: Side) -> None:
        super().__init__()
        self._shape, self._side, self._other = shape, side, other
        self._differences = differences(side, other)

    def compose(self) -> ComposeResult:
        """What the sides are, the cells, and the codes."""
        with Vertical() as box:
            box.border_title = "compare"
            box.border_subtitle = "↑↓ scroll · t take its types · esc close"
            yield Static(self._heading())
            yield DifferenceList(self._shape, {d.tensor.name: d for d in self._differences})
            yield Static(self._legend(), id="legend")

    def _heading(self) -> Content:
        side, other = self._side, self._other
        count = len(self._differences)
        said = "no tensor differs" if not count else f"{count} tensors differ"
        beyond = [d for d in self._differences if d.tensor.name not in self._shape.by_name]
        strangers = f"; {len(beyond)} of them the model here lacks" if beyond else ""
        return Content.assemble(
            (side.name, "bold"),
            f" {size(side.file_bytes)}  →  ",
            (other.name, "bold"),
            f" {size(other.file_bytes)}   {said}{strangers}",
        )

    def _legend(self) -> Content:
        kinds = {kind for d in self._differences for kind in (d.type, d.other) if kind is not None}
        styles = TypeStyles(self.app)
        line = Content(f"{_SAME} the same   ")
        for kind in sorted(kinds, key=lambda kind: (-kind.bits_per_weight, kind)):
            line = Content.assemble(line, _chip(kind, styles), f" {kind}   ")
        return line
