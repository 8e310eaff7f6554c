"""The layer grid: a row per block, a cell per tensor, drawn line by line so that deep models stay quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.signal import Signal
from textual.strip import Strip

from lqtui.recipe.recipe import Plan
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.tui.keys.commands import GRID_COMMANDS
from lqtui.tui.keys.shown import with_keys
from lqtui.tui.widgets.filters import count_of, matching_tensors
from lqtui.tui.widgets.grid_columns import DEFAULT_FACTS, GridFact, fixed_width, place_facts
from lqtui.tui.widgets.grid_layout import GridLayout, grid_layout
from lqtui.tui.widgets.grid_mouse import HEADER_LINES
from lqtui.tui.widgets.grid_moves import GridMoves
from lqtui.tui.widgets.grid_painter import CursorHere, GridPainter, RowContent, read_row
from lqtui.tui.widgets.grid_selection import GridSelection, Scope
from lqtui.tui.widgets.importance import ImportanceColumn
from lqtui.tui.widgets.type_glyphs import TypeStyles

_NOTHING = GridLayout((), (), 3, 0)


class LayerGrid(GridMoves, can_focus=True, inherit_bindings=False):
    """Shows the effective type of every tensor and takes the keys that change them."""

    DEFAULT_CSS = """
    LayerGrid {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
    }
    LayerGrid > .layer-grid--text { color: $foreground; }
    LayerGrid > .layer-grid--dim { color: $foreground 60%; }
    LayerGrid > .layer-grid--header-here { color: $text-primary; text-style: bold; }
    LayerGrid > .layer-grid--label { color: $text-primary; text-style: bold; }
    LayerGrid > .layer-grid--bar { color: $primary; }
    LayerGrid > .layer-grid--track { color: $foreground 22%; }
    LayerGrid > .layer-grid--heat-cool { color: $foreground 80%; }
    LayerGrid > .layer-grid--heat-warm { color: $text-warning; }
    LayerGrid > .layer-grid--heat-hot { color: $text-error; }
    LayerGrid > .layer-grid--estimate { color: $foreground 50%; }
    LayerGrid > .layer-grid--forecast { color: $text-secondary; }
    LayerGrid > .layer-grid--cursor {
        color: $block-cursor-foreground; background: $block-cursor-background; text-style: bold;
    }
    LayerGrid:ansi > .layer-grid--dim, LayerGrid:ansi > .layer-grid--track { color: ansi_bright_black; }
    LayerGrid:ansi > .layer-grid--heat-cool { color: ansi_default; }
    LayerGrid:ansi > .layer-grid--estimate { color: ansi_bright_black; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"layer-grid--{name}"
        for name in (
            *("text", "dim", "header-here", "label", "bar", "track", "cursor"),
            *("heat-cool", "heat-warm", "heat-hot", "estimate", "forecast"),
        )
    }
    BINDINGS: ClassVar[list[BindingType]] = [command.binding for command in GRID_COMMANDS]

    selection: reactive[GridSelection] = reactive(GridSelection(_NOTHING), repaint=False, init=False)
    """The cursor and what keys act on. Watched rather than told by message, so that what is said of it is
    painted in the same frame."""

    @dataclass
    class Assign(Message):
        """A person gave tensors a type; `label` says it in a few words."""

        tensors: tuple[str, ...]
        tensor_type: TensorType
        label: str

    @dataclass
    class PickType(Message):
        """A person wants to choose a type for tensors from the list."""

        tensors: tuple[str, ...]
        title: str

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.plan: Plan | None = None
        self.importance: ImportanceColumn | None = None
        self.filter = ""
        self._shape: ModelShape | None = None
        self._contents: dict[int, RowContent] = {}
        self._strips: LRUCache[tuple[object, ...], Strip] = LRUCache(1024)
        self._painter: GridPainter | None = None
        self.facts: frozenset[GridFact] = DEFAULT_FACTS
        self._predicted: Mapping[str, float] = {}
        self.drawn: Signal[None] = Signal(self, "drawn")

    # -- what is shown ------------------------------------------------------------------------------

    def show_plan(self, plan: Plan | None) -> None:
        """Show a plan; only the lines that differ are painted again."""
        shape = plan.shape if plan else None
        if shape is not self._shape:
            self._shape = shape
            self._adopt(plan)
            return
        self.plan = plan
        self._show_what_differs()
        self._match_again()

    def _show_what_differs(self) -> None:
        before, self._contents = self._contents, {}
        if self.plan is None:
            return
        for y in self._visible_rows():
            if before.get(y) != self._content(y):
                self._refresh_row(y)
        self.drawn.publish(None)

    def show_predicted(self, kld: Mapping[str, float]) -> None:
        """Show what the recipe is predicted to cost, in nats by tensor; empty where it is not known."""
        if kld != self._predicted:
            self._predicted = kld
            self._show_what_differs()

    def show_facts(self, facts: frozenset[GridFact]) -> None:
        """Show these columns beside the cells, as far as there is room."""
        if facts != self.facts:
            self.facts = facts
            self._forget_drawings()
            self._keep_cursor_visible()
            self.refresh()

    @property
    def score_span(self) -> range:
        """The cells of a line that the scores take."""
        return self._painter.score_span if self._painter else range(0)

    @property
    def left_out(self) -> frozenset[GridFact]:
        """The chosen columns that have no room, but for scores where none are known."""
        scores = frozenset() if self.importance else frozenset({GridFact.SCORE})
        place = place_facts(self.rows_and_columns, self.size.width, self.facts, self.importance)
        return self.facts - place.shown - scores

    def show_importance(self, column: ImportanceColumn | None) -> None:
        """Show a column of scores; None takes it away."""
        if column != self.importance:
            self.importance = column
            self._forget_drawings()
            self.refresh()

    def _adopt(self, plan: Plan | None) -> None:
        layout = grid_layout(plan.shape) if plan else _NOTHING
        self.plan, self._contents = plan, {}
        self.selection = GridSelection(layout, row=layout.block_rows[0] if layout.block_rows else 0)
        self._left, self.importance, self.filter = 0, None, ""
        self._forget_drawings()
        self.virtual_size = self._whole_size()
        self.scroll_to(0, 0, animate=False, force=True)
        self.refresh()

    def _whole_size(self) -> Size:
        rows = len(self.rows_and_columns.rows)
        return Size(self.size.width, rows + HEADER_LINES if rows else 0)

    def _content(self, y: int) -> RowContent:
        content = self._contents.get(y)
        if content is None:
            assert self.plan is not None
            row = self.rows_and_columns.rows[y]
            content = self._contents[y] = read_row(self.plan, row, self._predicted)
        return content

    def _visible_rows(self) -> range:
        top = self.scroll_offset.y
        bottom = min(top + self.size.height - HEADER_LINES, len(self.rows_and_columns.rows))
        return range(top, max(top, bottom))

    def show_filter(self, text: str) -> None:
        """Show, and take into ranges and "select all", no tensors but those that a filter lets through."""
        self.filter = text.strip()
        self._match_again(still=False)
        if self.selection.matching and not self.selection.shows(self.selection.row):
            self.select(self._nearest())

    @property
    def filter_said(self) -> str:
        """The filter and how much it lets through: `/Q4_0 6 of 30`; empty where there is none."""
        found = self.selection.matching
        return "" if found is None else f"/{self.filter} {count_of(self.rows_and_columns, found)}"

    def _nearest(self) -> GridSelection:
        """The cursor on the nearest row that the filter lets through."""
        selection = self.selection
        ways = [selection.stepped(way) for way in (1, -1)]
        moved = [way for way in ways if way.row != selection.row]
        return min(moved, key=lambda way: abs(way.row - selection.row), default=selection)

    def _match_again(self, *, still: bool = True) -> None:
        """Apply the filter to the plan; `still` holds on to what is selected until it is let go."""
        if self.plan is None or (still and (not self.filter or self.selection.is_range)):
            return
        found = matching_tensors(self.plan, self.rows_and_columns, self.filter)
        if found != self.selection.matching:
            self.selection = replace(self.selection, matching=found)
            self.refresh()
            self.drawn.publish(None)

    # -- drawing ------------------------------------------------------------------------------------

    def _forget_drawings(self) -> None:
        self._painter = None
        self._strips.clear()
        self.drawn.publish(None)

    def notify_style_update(self) -> None:
        """Draw in the new theme."""
        self._forget_drawings()
        super().notify_style_update()

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._forget_drawings()
        self.virtual_size = self._whole_size()
        self._keep_cursor_visible()

    def on_focus(self) -> None:
        """Show the cursor."""
        self._refresh_row(self.selection.row)

    def on_blur(self) -> None:
        """Dim the cursor."""
        self._refresh_row(self.selection.row)

    def _refresh_row(self, y: int) -> None:
        self.refresh(Region(0, y + HEADER_LINES - self.scroll_offset.y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """One line: the two of the header and the row labels stay, the rest scrolls beneath them."""
        width, blank = self.size.width, self.rich_style
        if not self.rows_and_columns.rows:
            said = with_keys(self, " No model is open. Press {model.open} to open a GGUF file.")
            text = said if y == 1 else ""
            return Strip([Segment(text, blank)]).adjust_cell_length(width, blank)
        row = y - HEADER_LINES + self.scroll_offset.y
        if y >= HEADER_LINES and row >= len(self.rows_and_columns.rows):
            return Strip.blank(width, blank)
        painter = self._painter
        if painter is None:
            painter = self._painter = GridPainter(
                self.rows_and_columns,
                TypeStyles(self.app),
                self._component_style,
                width,
                self.importance,
                self.facts,
            )
        if y == 0:
            strip = painter.groups()
        elif y < HEADER_LINES:
            strip = painter.labels(self.selection)
        else:
            strip = self._row(painter, row)
        if self._left:
            stays = painter.sticky_width
            strip = Strip.join([strip.crop(0, stays), strip.crop(stays + self._left)])
        return strip.adjust_cell_length(width, blank)

    def _component_style(self, name: str) -> Style:
        return self.get_component_rich_style(f"layer-grid--{name}")

    def _row(self, painter: GridPainter, y: int) -> Strip:
        selection = self.selection
        selected = selection.columns_in(y) if selection.is_range else range(0)
        here = (
            CursorHere(selection.scope, selection.cursor_column, self.has_focus)
            if y == selection.row
            else None
        )
        content = self._content(y)
        through = selection.shown_in(y)
        key = (y, content, selected.start, selected.stop, here, selection.scope, through)
        strip = self._strips.get(key)
        if strip is None:
            row = self.rows_and_columns.rows[y]
            strip = painter.row(y, row, content, selected, here, selection.scope, through)
            self._strips[key] = strip
        return strip

    # -- moving and selecting -----------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a model there is nothing to act on."""
        return bool(self.rows_and_columns.rows)

    def select(self, selection: GridSelection) -> None:
        """Adopt a selection, painting only the lines that it changes."""
        before, self.selection = self.selection, selection
        if not selection.layout.rows or selection == before:
            return
        turned = self.importance is not None and before.scope is not selection.scope
        for y in self._visible_rows():
            if turned or y in (before.row, selection.row) or _marks(before, y) != _marks(selection, y):
                self._refresh_row(y)
        self.refresh(Region(0, 1, self.size.width, 1))
        self._keep_cursor_visible()
        if before.is_range and not selection.is_range:
            self._match_again()
        self.drawn.publish(None)

    def _keep_cursor_visible(self) -> None:
        layout, selection = self.rows_and_columns, self.selection
        if not layout.rows:
            return
        height = max(1, self.size.height - HEADER_LINES)
        top, y = self.scroll_offset.y, selection.row
        target = min(max(top, y - height + 1), y)
        if target != top:
            self.scroll_to(y=target, animate=False, force=True)
        hidden = max(0, fixed_width(layout, self.facts) - self.size.width)
        left = min(self._left, hidden)
        if selection.scope is Scope.TENSOR and layout.columns and selection.cursor_row.block is not None:
            column = layout.columns[selection.cursor_column]
            room = self.size.width - layout.label_width - 2
            left = min(max(left, column.x + column.width - room), column.x)
        if left != self._left:
            self._left = left
            self.refresh()

    # -- changing types -----------------------------------------------------------------------------

    def action_set_type(self, name: str) -> None:
        """Give the selection a type."""
        wanted = TensorType(name)
        if wanted is TensorType.F16 and self._shape and self._shape.main_type is TensorType.BF16:
            wanted = TensorType.BF16
        tensors = self.selection.tensors
        if tensors:
            self.post_message(self.Assign(tensors, wanted, f"{self.selection.title} → {wanted}"))

    def action_cycle(self) -> None:
        """Give the selection the type that follows its own: unquantized, Q8_0, Q4_0 and round again."""
        if self.plan is None:
            return
        types = {self.plan.by_name[name].requested for name in self.selection.tensors}
        only = next(iter(types)) if len(types) == 1 else None
        if only is None or not only.is_quantized:
            self.action_set_type("Q8_0")
        else:
            self.action_set_type("Q4_0" if only is TensorType.Q8_0 else "F16")

    def action_pick_type(self) -> None:
        """Ask which type."""
        if self.selection.tensors:
            self.post_message(self.PickType(self.selection.tensors, self.selection.title))


def _marks(selection: GridSelection, y: int) -> range:
    return selection.columns_in(y) if selection.is_range else range(0)
