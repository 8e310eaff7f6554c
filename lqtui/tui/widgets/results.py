"""The table of measured recipes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive

from lqtui.tui.keys.panes import RESULTS_COMMANDS
from lqtui.tui.keys.shown import with_keys
from lqtui.tui.widgets.border_words import set_border_words
from lqtui.tui.widgets.filters import matches_name
from lqtui.tui.widgets.line_list import Line, LineList
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.quantities import shortened
from lqtui.tui.widgets.result_columns import COLUMNS, LEADING, Filled, Layout, Row, fitting
from lqtui.tui.widgets.standings import Standings

if TYPE_CHECKING:
    from lqtui.workbench import Result

_MARK = 2
_NAME = "name"
_SORTS = (_NAME, *(column.key for column in COLUMNS))


class ResultsTable(LineList):
    """One line a measured recipe, and how it stands beside the reference.

    Left, right or a click on a title sorts, space turns the order, `v` makes a recipe the reference: keys
    that mean nothing else to the main screen. Columns that find no room are left out, the least needed first.
    While chunks arrive the rows change places only when all of them have one more.
    """

    BORDER_TITLE = "results"
    BINDINGS: ClassVar[list[BindingType]] = [command.binding for command in RESULTS_COMMANDS]
    empty = "nothing measured yet\n{run.measure} measures this recipe, {run.sweep} all presets"
    keys_hint = "enter use · {results.refer} versus · ←→ sort · {results.reverse} turn"

    class Chosen(Message):
        """A result was chosen with enter or a double click."""

        def __init__(self, result: Result) -> None:
            super().__init__()
            self.result = result

    class ReferenceChosen(Message):
        """A recipe is to be compared with; or no longer, where it was already."""

        def __init__(self, result: Result) -> None:
            super().__init__()
            self.result = result

    class Moved(Message):
        """The cursor is on another recipe."""

        def can_replace(self, message: Message) -> bool:
            """Several moves in a row are one."""
            return isinstance(message, ResultsTable.Moved)

    looks_up: reactive[bool] = reactive(False)
    """Whether what was measured is still to be found."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows: dict[Hashable, Row] = {}
        self._selected: str | None = None
        self._metric = Metric.KLD
        self._sort = LEADING[Metric.KLD]
        self._descending = False
        self.filter = ""
        self._order: list[Hashable] = []
        self._order_is_of: tuple[object, ...] = ()
        self._titles: list[tuple[int, str]] = []

    def show(
        self,
        results: Sequence[Result],
        selected: str | None = None,
        standings: Standings | None = None,
        chunks: int = 0,
        base_bytes: int = 0,
    ) -> None:
        """Show results.

        Args:
            results: What is known.
            selected: The digest of the recipe to mark.
            standings: How the recipes stand beside the reference.
            chunks: How many chunks a whole result has.
            base_bytes: The size of the base model's file.
        """
        standings = standings or Standings()
        reference = standings.reference.digest if standings.reference else None
        rows: dict[Hashable, Row] = {}
        for result in results:
            beside_base = standings.beside_base.get(result.digest)
            rows[result.digest] = Row(
                result,
                standings.beside.get(result.digest),
                result.digest == reference,
                chunks,
                beside_base.nll if beside_base else None,
                base_bytes,
            )
        if (rows, selected) == (self._rows, self._selected):
            return
        self._rows, self._selected = rows, selected
        self._show_reference()
        self._show_count()
        self.update_lines()

    def show_filter(self, text: str) -> None:
        """Show no recipes but those whose names a filter matches."""
        self.filter = text.strip()
        self._show_count()
        self.update_lines()

    def _show_count(self) -> None:
        count = len(self._rows)
        said = f"{count} measured" if count else ""
        if self.filter:
            said = f"/{self.filter} {len(self._shown_keys)} of {count}"
        self.show_status(said)

    @property
    def _shown_keys(self) -> list[Hashable]:
        """The keys of the recipes that the filter lets through, in their order."""
        keys = self._ordered_keys()
        return [key for key in keys if matches_name(self._rows[key].result.title, self.filter)]

    @property
    def empty_now(self) -> str:
        """What to say as long as there are no lines."""
        if not self._rows and self.looks_up:
            return "looking up what was measured of this model …"
        if not self._rows:
            return super().empty_now
        return f"no recipe here goes by /{self.filter}\n" + with_keys(self, "{results.all} shows all")

    def action_clear(self) -> None:
        """Show all recipes again."""
        self.show_filter("")

    def _show_reference(self) -> None:
        """Name the recipe that verdicts are against, where there are any."""
        name = next((row.result.title for row in self._rows.values() if row.is_reference), None)
        against = f" · against {name}" if name and self._metric is not Metric.SPEED else ""
        set_border_words(self, title=f"{self.BORDER_TITLE}{against}")

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self._rows.get(self.cursor)

    def row_of(self, key: Hashable) -> Row | None:
        """The row of a recipe, by its plan's digest."""
        return self._rows.get(key)

    # The order.

    @property
    def order(self) -> tuple[str, bool]:
        """The key of the column that sorts, and whether it descends."""
        return self._sort, self._descending

    def show_first(self, metric: Metric) -> None:
        """Give a metric's columns room before others; rows that were sorted by another are sorted by it."""
        self._metric = metric
        self._show_reference()
        if self._sort in LEADING.values():
            self.sort_by(LEADING[metric], metric.more_is_better)
        else:
            self.update_lines()

    def sort_by(self, key: str, descending: bool = False) -> None:
        """Sort by a column: `name`, or the key of one of `COLUMNS`."""
        self._sort, self._descending = key, descending
        self.update_lines()

    def action_sort(self, step: int) -> None:
        """Sort by the next column to either side that is on screen."""
        shown = [key for _, key in self._titles] or list(_SORTS)
        index = shown.index(self._sort) if self._sort in shown else 0
        self.sort_by(shown[(index + step) % len(shown)])

    def action_reverse(self) -> None:
        """Turn the order round."""
        self.sort_by(self._sort, not self._descending)

    def header_clicked(self, x: int) -> None:
        """Sort by the title that was clicked; once more turns the order round."""
        for end, key in self._titles:
            if x < end:
                self.sort_by(key, key == self._sort and not self._descending)
                return

    def _ordered_keys(self) -> list[Hashable]:
        """The keys in their order; new rows find their place at once, others wait until a chunk is done."""
        column = next((column for column in COLUMNS if column.key == self._sort), None)
        if column is None:
            return sorted(self._rows, key=lambda k: self._rows[k].result.title, reverse=self._descending)
        sign = -1 if self._descending else 1

        def rank(key: Hashable) -> tuple[bool, float]:
            value = column.rank(self._rows[key])
            return value is None, 0.0 if value is None else sign * value

        partial = [row.result.chunks for row in self._rows.values() if row.result.partial]
        order_is_of = (self._sort, self._descending, min(partial, default=None))
        if not partial or order_is_of != self._order_is_of:
            order = sorted(self._rows, key=rank)
        else:
            order = [k for k in self._order if k in self._rows]
            for new in sorted(self._rows.keys() - set(order), key=rank):
                place = next((i for i, k in enumerate(order) if rank(k) > rank(new)), len(order))
                order.insert(place, new)
        self._order, self._order_is_of = order, order_is_of
        return order

    # The person.

    def choose(self, key: Hashable) -> None:
        """Tell which result was chosen."""
        self.post_message(self.Chosen(self._rows[key].result))

    def action_refer(self) -> None:
        """Ask to compare the others with the recipe under the cursor."""
        if self.row is not None:
            self.post_message(self.ReferenceChosen(self.row.result))

    def cursor_moved(self) -> None:
        """Tell that the cursor is on another recipe."""
        self.post_message(self.Moved())

    # The lines.

    def build_lines(self, width: int) -> tuple[Content | None, list[Line]]:
        """The titles and one line a result."""
        if not self._rows:
            return None, []
        keys = self._shown_keys
        if not keys:
            return None, []
        rows = [self._rows[key] for key in keys]
        layout = fitting(rows, width - _MARK, self._metric)
        self._titles = _ends(layout)
        lines = [
            Line(key, self._line(row, index, layout))
            for index, (key, row) in enumerate(zip(keys, rows, strict=True))
        ]
        return self._header_line(layout), lines

    def _header_line(self, layout: Layout) -> Content:
        titles = [column.padded(self._title(column)) for column in layout.columns]
        name = f"recipe{self._arrow}" if self._sort == _NAME else "recipe"
        return Content((" " * layout.gap).join([" " * _MARK + name.ljust(layout.name_width), *titles]))

    @property
    def _arrow(self) -> str:
        return "▼" if self._descending else "▲"

    def _title(self, column: Filled) -> str:
        if column.column.key != self._sort:
            return column.title
        return column.title.rstrip(" ±%") + self._arrow

    def _line(self, row: Row, index: int, layout: Layout) -> Content:
        is_selected = row.result.digest == self._selected
        marks = ("◐" if row.result.partial else "") + ("▸" if is_selected else "")
        style = "bold $accent" if is_selected else "$text-warning"
        name = shortened(row.result.title, layout.name_width).ljust(layout.name_width)
        cells: list[tuple[str, str]] = [
            (marks.ljust(_MARK), style),
            (name, "bold" if is_selected else ""),
        ]
        for column in layout.columns:
            text, style = column.cells[index]
            cells.append((" " * layout.gap + text, style))
        return Content.assemble(*cells)


def _ends(layout: Layout) -> list[tuple[int, str]]:
    """Where each column ends, with its key."""
    ends = [(_MARK + layout.name_width, _NAME)]
    for column in layout.columns:
        ends.append((ends[-1][0] + layout.gap + column.width, column.column.key))
    return ends
