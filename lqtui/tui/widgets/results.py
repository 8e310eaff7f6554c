"""The table of measured recipes."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from lqtui.tui.widgets.line_list import Line, LineList
from lqtui.tui.widgets.quantities import mebibytes, shortened

if TYPE_CHECKING:
    from lqtui.workbench import Result, Speed

_MARK = 2
_NAME_WIDTH = 15


@dataclass(frozen=True)
class _Column:
    """A column of numbers: its title, what it sorts by (None: unknown, goes last) and how a number reads."""

    key: str
    title: str
    value: Callable[[Result], float | None]
    cell: Callable[[Result], tuple[str, str]]

    def width(self, results: Iterable[Result]) -> int:
        """The cells that its title, with the mark of the order, and its numbers take."""
        return max(len(self.title), *(len(self.cell(result)[0]) for result in results))


@dataclass(frozen=True)
class _Layout:
    """The columns that are on screen, their widths, and the gap before each."""

    columns: tuple[_Column, ...]
    widths: tuple[int, ...]
    gap: int
    name_width: int

    def ends(self) -> list[tuple[int, str]]:
        """Where each column ends, with its key."""
        ends = [(_MARK + self.name_width, "name")]
        for column, width in zip(self.columns, self.widths, strict=True):
            ends.append((ends[-1][0] + self.gap + width, column.key))
        return ends


def _perplexity(result: Result) -> tuple[str, str]:
    if result.perplexity is None:
        return "…" if result.partial else "—", "dim"
    if result.broken:
        return "broken", "$text-error"
    error = "" if result.perplexity_se is None else f" ±{result.perplexity_se:.2f}"
    return f"{result.perplexity:.4f}{error}", "$text-warning" if result.partial else ""


def _delta(result: Result, with_error: bool = True) -> tuple[str, str]:
    """The change against the base in per cent; a change within its error is not given as a number."""
    delta, error = result.delta_percent, result.delta_percent_se
    if delta is None and result.partial:
        return f"{result.chunks} chunk{'s' if result.chunks != 1 else ''}", "$text-warning"
    if delta is None:
        return "—", "dim"
    if delta == 0 and not error:
        return "base", "dim"
    said = "" if error is None or not with_error else f" ±{error:.2f}"
    if error is not None and abs(delta) < error:
        return f"≈0{said}", "dim"
    return f"{delta:+.2f}{said}", "$text-error" if delta > 0 else "$text-success"


def _speed(speed: Speed | None, with_error: bool = False) -> tuple[str, str]:
    if speed is None:
        return "—", "dim"
    digits = 0 if speed.mean >= 1000 else 1
    error = f" ±{speed.sd:.{digits}f}" if with_error else ""
    return f"{speed.mean:.{digits}f}{error}", ""


def _both_speeds(result: Result) -> tuple[str, str]:
    if result.prompt is None and result.generation is None:
        return "—", "dim"
    prompt = "—" if result.prompt is None else f"{result.prompt.mean:.0f}"
    return f"{prompt}/{_speed(result.generation)[0]}", ""


def _mean(speed: Speed | None) -> float | None:
    return None if speed is None else speed.mean


_SIZE = _Column("size", "  MiB", lambda r: r.file_bytes, lambda r: (mebibytes(r.file_bytes), ""))
_BPW = _Column("bpw", " bpw", lambda r: r.bits_per_weight, lambda r: (f"{r.bits_per_weight:.2f}", ""))
_PPL = _Column("ppl", "PPL ±", lambda r: math.inf if r.broken else r.perplexity, _perplexity)
_DELTA = _Column("delta", "ΔPPL %", lambda r: r.delta_percent, _delta)
_DELTA_ALONE = replace(_DELTA, cell=lambda r: _delta(r, with_error=False))
_PP = _Column("pp", "pp t/s", lambda r: _mean(r.prompt), lambda r: _speed(r.prompt))
_TG = _Column("tg", "tg t/s", lambda r: _mean(r.generation), lambda r: _speed(r.generation))
_PP_ERROR = replace(_PP, cell=lambda r: _speed(r.prompt, with_error=True))
_TG_ERROR = replace(_TG, cell=lambda r: _speed(r.generation, with_error=True))
_PP_TG = _Column("tg", "pp/tg t/s", lambda r: _mean(r.generation), _both_speeds)
_COLUMNS = (_SIZE, _BPW, _PPL, _DELTA, _PP, _TG)
_LAYOUTS = (
    (2, (_SIZE, _BPW, _PPL, _DELTA, _PP_ERROR, _TG_ERROR)),
    (2, _COLUMNS),
    (1, _COLUMNS),
    (1, (_SIZE, _PPL, _DELTA, _PP, _TG)),
    (1, (_SIZE, _PPL, _DELTA, _PP_TG)),
    (1, (_SIZE, _PPL, _DELTA_ALONE, _PP_TG)),
    (1, (_SIZE, _PPL, _DELTA_ALONE)),
    (1, (_SIZE, _PPL)),
)
"""What is shown at less and less width: the gap before each column, and the columns."""
_SORTS = ("name", *(column.key for column in _COLUMNS))


class ResultsTable(LineList):
    """One line a measured recipe; `<`, `>` or a click on a title sorts, `-` turns the order.

    Columns that find no room are left out, the least needed first.
    """

    BORDER_TITLE = "results"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("less_than_sign,left", "sort(-1)", "Sort by the column before", show=False),
        Binding("greater_than_sign,right", "sort(1)", "Sort by the column after", show=False),
        Binding("minus", "reverse", "Reverse the order", show=False),
    ]
    empty = "nothing measured yet\nr measures this recipe, s all presets"
    keys_hint = "enter use · < > sort · - reverse"

    class Chosen(Message):
        """A result was chosen with enter or a double click."""

        def __init__(self, result: Result) -> None:
            super().__init__()
            self.result = result

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._results: dict[Hashable, Result] = {}
        self._selected: str | None = None
        self._sort = "size"
        self._descending = False
        self._titles: list[tuple[int, str]] = []

    def show(self, results: Sequence[Result], selected: str | None = None) -> None:
        """Show results; `selected` is the digest of the recipe to mark."""
        by_key: dict[Hashable, Result] = {(result.name, result.digest): result for result in results}
        if (by_key, selected) == (self._results, self._selected):
            return
        self._results, self._selected = by_key, selected
        self.show_status(f"{len(results)} measured" if results else "")
        self.update_lines()

    @property
    def order(self) -> tuple[str, bool]:
        """The key of the column that sorts, and whether it descends."""
        return self._sort, self._descending

    def sort_by(self, key: str, descending: bool = False) -> None:
        """Sort by a column: name, size, bpw, ppl, delta, pp or tg."""
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

    def choose(self, key: Hashable) -> None:
        """Tell which result was chosen."""
        self.post_message(self.Chosen(self._results[key]))

    def build_lines(self, width: int) -> tuple[Content | None, list[Line]]:
        """The titles and one line a result."""
        if not self._results:
            return None, []
        layout = self._fitting(width)
        self._titles = layout.ends()
        lines = [Line(key, self._line(self._results[key], layout)) for key in self._sorted_keys()]
        return self._header_line(layout), lines

    def _fitting(self, width: int) -> _Layout:
        """The columns that fit beside the names; the names take what is left."""
        results = self._results.values()
        longest = max(6, *(len(result.name) for result in results))
        wanted = min(longest, _NAME_WIDTH)
        layout = None
        for gap, columns in _LAYOUTS:
            widths = tuple(column.width(results) for column in columns)
            room = width - _MARK - sum(gap + column for column in widths)
            layout = _Layout(columns, widths, gap, max(4, min(longest, room)))
            if room >= (longest if gap > 1 else wanted):
                break
        assert layout is not None
        return layout

    def _header_line(self, layout: _Layout) -> Content:
        parts = [" " * _MARK, self._title("name", "recipe").ljust(layout.name_width)]
        for column, width in zip(layout.columns, layout.widths, strict=True):
            parts.append(" " * layout.gap + self._title(column.key, column.title).rjust(width))
        return Content("".join(parts))

    def _title(self, key: str, title: str) -> str:
        if key != self._sort:
            return title
        return title.strip().split(" ")[0] + ("▼" if self._descending else "▲")

    def _line(self, result: Result, layout: _Layout) -> Content:
        is_selected = result.digest == self._selected
        if is_selected:
            mark = ("▸ ", "bold $accent")
        else:
            mark = ("◐ ", "$text-warning") if result.partial else ("  ", "")
        name = shortened(result.name, layout.name_width).ljust(layout.name_width)
        cells: list[tuple[str, str]] = [mark, (name, "bold" if is_selected else "")]
        for column, width in zip(layout.columns, layout.widths, strict=True):
            text, style = column.cell(result)
            cells.append((" " * layout.gap + text.rjust(width), style))
        return Content.assemble(*cells)

    def _sorted_keys(self) -> list[Hashable]:
        column = next((column for column in _COLUMNS if column.key == self._sort), None)
        if column is None:
            return sorted(self._results, key=lambda key: self._results[key].name, reverse=self._descending)
        sign = -1 if self._descending else 1

        def rank(key: Hashable) -> tuple[bool, float]:
            value = column.value(self._results[key])
            return value is None, 0.0 if value is None else sign * value

        return sorted(self._results, key=rank)
