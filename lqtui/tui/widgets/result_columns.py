"""The columns of the results table: what each says, how it sorts, and which of them find room."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lqtui.measure.rounding import difference, rounded, small
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.quantities import mebibytes
from lqtui.tui.widgets.standings import is_base

if TYPE_CHECKING:
    from lqtui.measure.paired import Comparison, Interval
    from lqtui.workbench import Result, Speed

_LEAST_NAME = 16
_ROOMY_GAP = 2


@dataclass(frozen=True)
class Row:
    """A result as it stands beside the reference; `wanted` is how many chunks it is to have.

    `beside_base` is the difference of NLL from the base model, of which the chunks are the evidence.
    `base_bytes` is the size of the base model's file, 0 where that is not known.
    """

    result: Result
    comparison: Comparison | None = None
    is_reference: bool = False
    wanted: int = 0
    beside_base: Interval | None = None
    base_bytes: int = 0

    @property
    def progress(self) -> str:
        """How many of its chunks a result has that lacks some."""
        return f"{self.result.chunks}/{self.wanted}" if self.result.partial and self.wanted else ""


class Cell(NamedTuple):
    """What a column says of a row: a number with its error, or a word."""

    text: str
    error: str = ""
    style: str = ""
    is_word: bool = False


_UNKNOWN = Cell("—", style="dim", is_word=True)
_AWAITED = Cell("…", style="dim", is_word=True)


@dataclass(frozen=True)
class Variant:
    """One way to fill a column; the wordier ones need more room."""

    title: str
    cell: Callable[[Row], Cell]


@dataclass(frozen=True)
class Column:
    """A column: what it sorts by (None: unknown, goes last) and its variants, the narrowest first."""

    key: str
    rank: Callable[[Row], float | None]
    variants: tuple[Variant, ...]
    is_text: bool = False


# -- what the cells say -----------------------------------------------------------------------------


def _estimate(result: Result, value: float | None, error: float | None) -> Cell:
    if result.broken:
        return Cell("broken", style="$text-error", is_word=True)
    if value is None:
        return _AWAITED if result.partial else _UNKNOWN
    return Cell(*small(value, error))


def _smaller(row: Row) -> Cell:
    if not row.base_bytes:
        return _UNKNOWN
    cell = Cell(f"{row.base_bytes / row.result.file_bytes:.2f}×")
    return cell._replace(style="dim") if is_base(row.result) else cell


def _kld(row: Row) -> Cell:
    cell = _estimate(row.result, row.result.kld, row.result.kld_se)
    return cell._replace(style="dim") if is_base(row.result) else cell


def _perplexity(row: Row) -> Cell:
    return _estimate(row.result, row.result.perplexity, row.result.perplexity_se)


def _top1(row: Row) -> Cell:
    agreement, error = row.result.top1_agreement, row.result.top1_agreement_se
    percent = None if agreement is None else 100 * agreement
    return _estimate(row.result, percent, None if error is None else 100 * error)


def _delta(row: Row) -> Cell:
    result = row.result
    if result.delta_percent is None or result.broken:
        return _estimate(result, None, None)
    if is_base(result):
        return Cell("base", style="dim", is_word=True)
    text, error = difference(result.delta_percent, result.delta_percent_se)
    return Cell(text, error, "dim" if text.startswith("≈") else _finding(row.beside_base))


def _finding(interval: Interval | None) -> str:
    """The style of a difference from the base: a colour only where it is sure to be one."""
    if interval is None:
        return ""
    return "$text-success" if interval.high < 0 else "$text-error" if interval.low > 0 else ""


def _speed(speed: Speed | None) -> Cell:
    if speed is None:
        return _UNKNOWN
    mean, sd = rounded(speed.mean, speed.sd)
    return Cell(f"~{mean}", sd, "$text-warning") if speed.noisy else Cell(mean, sd)


def _verdict(row: Row, *, long: int) -> Cell:
    """The verdict, in the wording of the least to the most room: `long` is 0, 1 or 2."""
    result, found = row.result, row.comparison
    progress = f"{row.progress} chunks" if row.progress else ""
    if row.is_reference:
        said, style = (
            "is the reference" if long == 2 or (long and not progress) else "reference",
            "$text-primary",
        )
        if progress and long < 2:
            said += f", {progress}" if long else f" {row.progress}"
    elif result.broken:
        said, style = "broken", "$text-error"
    elif is_base(result):
        said, style = "base", "dim"
    elif progress and (found is None or found.verdict == "can't tell"):
        return Cell(progress, style="$text-warning", is_word=True)
    elif found is None:
        return _UNKNOWN
    elif found.verdict == "can't tell":
        said, style = _not_told(found, long), "$text-warning"
    else:
        said, style = found.verdict.value, "$text-success" if found.verdict == "better" else ""
    if progress and long == 2:
        said += f", {progress}"
    return Cell(said, style=style, is_word=True)


def _not_told(found: Comparison, long: int) -> str:
    if found.chunks_to_go is None or not long:
        return "can't tell"
    more = f"can't tell, ~{found.chunks_to_go} more"
    return f"{more} chunk{'s' if found.chunks_to_go > 1 else ''}" if long == 2 else more


# -- what the columns sort by -----------------------------------------------------------------------


def _or_broken(value: Callable[[Result], float | None]) -> Callable[[Row], float | None]:
    """Broken recipes are worse than all others."""
    return lambda row: math.inf if row.result.broken else value(row.result)


def _mean(speed: Speed | None) -> float | None:
    return None if speed is None else speed.mean


def _ahead(row: Row) -> float | None:
    """How far behind the reference a recipe is."""
    if row.is_reference:
        return 0.0
    found = row.comparison
    return None if found is None else (found.kld or found.nll).value


def _without_error(cell: Callable[[Row], Cell]) -> Callable[[Row], Cell]:
    return lambda row: cell(row)._replace(error="")


def _estimated(
    key: str, title: str, cell: Callable[[Row], Cell], rank: Callable[[Row], float | None]
) -> Column:
    """A column of numbers that have errors, which need not find room."""
    return Column(key, rank, (Variant(title, _without_error(cell)), Variant(f"{title} ±", cell)))


SIZE = Column(
    "size",
    lambda row: row.result.file_bytes,
    (Variant("MiB", lambda row: Cell(mebibytes(row.result.file_bytes))),),
)
BPW = Column(
    "bpw",
    lambda row: row.result.bits_per_weight,
    (Variant("bpw", lambda row: Cell(f"{row.result.bits_per_weight:.2f}")),),
)
SMALLER = Column(
    "smaller",
    lambda row: row.base_bytes / row.result.file_bytes if row.base_bytes else None,
    (Variant("smaller", _smaller),),
)
KLD = _estimated("kld", "KLD", _kld, _or_broken(lambda result: result.kld))
PPL = _estimated("ppl", "PPL", _perplexity, _or_broken(lambda result: result.perplexity))
DELTA = _estimated("delta", "ΔPPL%", _delta, _or_broken(lambda result: result.delta_percent))
TOP1 = _estimated("top1", "top-1%", _top1, lambda row: row.result.top1_agreement)
PP = _estimated("pp", "pp t/s", lambda row: _speed(row.result.prompt), lambda row: _mean(row.result.prompt))
TG = _estimated(
    "tg", "tg t/s", lambda row: _speed(row.result.generation), lambda row: _mean(row.result.generation)
)
VERDICT = Column(
    "verdict",
    _ahead,
    tuple(Variant("verdict", partial(_verdict, long=long)) for long in range(3)),
    is_text=True,
)

COLUMNS = (SIZE, SMALLER, BPW, KLD, PPL, DELTA, TOP1, PP, TG, VERDICT)
"""All columns, as they stand from left to right."""

_FIRST = {
    Metric.KLD: (KLD, VERDICT, DELTA, TOP1, TG, PP, PPL, SMALLER, BPW),
    Metric.PPL: (PPL, DELTA, VERDICT, KLD, TOP1, TG, PP, SMALLER, BPW),
    Metric.SPEED: (TG, PP, KLD, DELTA, TOP1, PPL, SMALLER, BPW),
    Metric.TOP1: (TOP1, VERDICT, KLD, DELTA, TG, PP, PPL, SMALLER, BPW),
}
"""What finds room first, after the size; the first one with its error or not at all.

The verdict is on quality, so it has no place where recipes are judged by speed.
"""
LEADING = {metric: columns[0].key for metric, columns in _FIRST.items()}
"""The column that a metric is told in."""


# -- where they go ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filled:
    """A column on screen: its title, and for each row the text, all of one width, and its style."""

    column: Column
    title: str
    width: int
    cells: tuple[tuple[str, str], ...]

    def padded(self, text: str) -> str:
        """A text at the side of the column where its texts stand."""
        return text.ljust(self.width) if self.column.is_text else text.rjust(self.width)


@dataclass(frozen=True)
class Layout:
    """The columns that are on screen, the gap before each, and the width of the names before them."""

    columns: tuple[Filled, ...]
    gap: int
    name_width: int


def fitting(rows: Sequence[Row], width: int, metric: Metric) -> Layout:
    """The columns that fit beside the names: first as many as can be, then air between them, then errors.

    The names take what is left, up to the longest of them.
    """
    longest = max(len("recipe") + 1, *(len(row.result.title) for row in rows))
    room = width - min(longest, _LEAST_NAME)
    chosen: dict[str, Filled] = {}

    def choose(column: Column, variant: Variant) -> None:
        """Take a column in, or make it wordier, where there is room."""
        nonlocal room
        filled = _filled(column, variant, rows)
        before = chosen.get(column.key)
        costs = filled.width - before.width if before else filled.width + 1
        if costs <= room:
            chosen[column.key] = filled
            room -= costs

    first, *others = _FIRST[metric]
    if not any(row.base_bytes for row in rows):
        others.remove(SMALLER)
    choose(SIZE, SIZE.variants[0])
    for variant in first.variants:
        choose(first, variant)
    for column in others:
        choose(column, column.variants[0])
    gap = _ROOMY_GAP if room >= len(chosen) else 1
    room -= (gap - 1) * len(chosen)
    for column in others if gap > 1 else [VERDICT]:
        if column.key in chosen:
            for variant in column.variants[1:]:
                choose(column, variant)
    columns = tuple(chosen[column.key] for column in COLUMNS if column.key in chosen)
    return Layout(columns, gap, max(4, min(longest, room + min(longest, _LEAST_NAME))))


def _filled(column: Column, variant: Variant, rows: Sequence[Row]) -> Filled:
    cells = [variant.cell(row) for row in rows]
    texts = _aligned(cells)
    title = _decided_by(rows) if column is VERDICT else variant.title
    mark = 0 if title.endswith(("±", "%")) else 1  # of the order, which takes a sign's place
    width = max(len(title) + mark, *(len(text) for text in texts))
    filled = Filled(column, title, width, ())
    styled = tuple((filled.padded(text), cell.style) for text, cell in zip(texts, cells, strict=True))
    return replace(filled, cells=styled)


def _decided_by(rows: Iterable[Row]) -> str:
    """What verdicts rest on, where that is the same for all."""
    quantities = {row.comparison.decided_on for row in rows if row.comparison is not None}
    return f"by {quantities.pop()}" if len(quantities) == 1 else "verdict"


def _aligned(cells: Sequence[Cell]) -> list[str]:
    """Numbers and errors padded, so that decimal points and signs stand one below the other."""
    numbers = [_halves(cell.text) for cell in cells if not cell.is_word]
    errors = [_halves(cell.error) for cell in cells if cell.error]
    before, after = _widest(numbers)
    error_before, error_after = _widest(errors)
    texts = []
    for cell in cells:
        if cell.is_word:
            texts.append(cell.text)
            continue
        whole, fraction = _halves(cell.text)
        text = whole.rjust(before) + fraction.ljust(after)
        if errors:
            whole, fraction = _halves(cell.error)
            sign = " ±" if cell.error else "  "
            text += sign + whole.rjust(error_before) + fraction.ljust(error_after)
        texts.append(text)
    return texts


def _halves(text: str) -> tuple[str, str]:
    whole, point, fraction = text.partition(".")
    return whole, point + fraction


def _widest(halves: Sequence[tuple[str, str]]) -> tuple[int, int]:
    return max((len(whole) for whole, _ in halves), default=0), max(
        (len(part) for _, part in halves), default=0
    )
