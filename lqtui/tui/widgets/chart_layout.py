"""Where things go on a chart: limits, round ticks, the frontier, and labels that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

_LEAST_DECADES = 0.5
"""Powers of ten below which a logarithmic axis has few of its own ticks."""
_CLEAR = 2
"""Cells between a label and other points of its row."""


@dataclass(frozen=True)
class Axis:
    """One axis: the coordinates at its ends and the number of character cells between them."""

    low: float
    high: float
    cells: int

    def place(self, value: float) -> float:
        """The coordinate of a value."""
        return value

    def cell(self, value: float) -> int:
        """The cell in which plotext draws a value."""
        share = (self.place(value) - self.low) / (self.high - self.low)
        return math.floor(round(0.5 + (self.cells - 1) * share, 8))

    def cells_between(self, low: float, high: float) -> int:
        """How many whole cells lie between two values."""
        return math.floor((self.cells - 1) * (self.place(high) - self.place(low)) / (self.high - self.low))

    def coordinate(self, cell: int) -> float:
        """The coordinate of the middle of a cell."""
        return self.low + (self.high - self.low) * cell / max(1, self.cells - 1)

    def ticks(self, least_cells: int) -> list[tuple[float, str]]:
        """Coordinates of round values with their labels, one at least; at least so many cells apart."""
        count = max(2, self.cells // max(1, least_cells))
        step = _round_step((self.high - self.low) / count)
        while math.floor(self.high / step + 1e-9) < math.ceil(self.low / step - 1e-9):
            step = _round_step(step / 2.5)  # the next smaller one: a half of 5 would be 5 again
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [
            (step * index, f"{step * index:.{digits}f}" if index else "0") for index in range(first, last + 1)
        ]


@dataclass(frozen=True)
class LogAxis(Axis):
    """A logarithmic axis; its ends are decimal logarithms. What is too small for it is put at its low end."""

    @classmethod
    def of(cls, low: float, high: float, cells: int) -> LogAxis:
        """An axis from one positive value to another."""
        return cls(math.log10(low), math.log10(high), cells)

    def place(self, value: float) -> float:
        """The decimal logarithm of a value."""
        return max(self.low, math.log10(value)) if value > 0 else self.low

    def ticks(self, least_cells: int) -> list[tuple[float, str]]:
        """Powers of ten, and their doubles and fivefolds where there is room; else round values."""
        if self.high - self.low < _LEAST_DECADES:
            ends = Axis(10.0**self.low, 10.0**self.high, self.cells)
            return [(math.log10(value), label) for value, label in ends.ticks(least_cells) if value > 0]
        most = max(2, self.cells // max(1, least_cells))
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        chosen: list[float] = []
        for mantissas in ((1,), (1, 3), (1, 2, 5)):
            values = [mantissa * 10.0**decade for decade in decades for mantissa in mantissas]
            inside = [value for value in values if self.low <= math.log10(value) <= self.high]
            if len(inside) <= most or not chosen:
                chosen = inside
        step = math.ceil(len(chosen) / most) if chosen else 1
        return [(math.log10(value), f"{value:.10f}".rstrip("0").rstrip(".")) for value in chosen[::step]]


def padded(low: float, high: float, share: float, least: float) -> tuple[float, float]:
    """A range widened on both sides by a share of itself, and never narrower than `least`."""
    spare = max((high - low) * share, (least - (high - low)) / 2)
    return low - spare, high + spare


def _round_step(span: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(span))
    return next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= span * (1 - 1e-9))


def frontier(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats: none is both smaller (or as small) and better. From small to large."""
    best = math.inf
    kept = []
    for x, y in sorted(points):
        if y < best:
            kept.append((x, y))
            best = y
    return kept


Placed = tuple[str, int, int]
"""A label, its first column and its row."""


@dataclass
class Labels:
    """Places labels beside their points, in cells; rows count from the bottom.

    A label keeps clear of other points, so that it can only be read as its own point's.
    """

    width: int
    height: int
    taken: set[tuple[int, int]] = field(default_factory=set)
    points: set[tuple[int, int]] = field(default_factory=set)

    def block(self, cells: Iterable[tuple[int, int]]) -> None:
        """Keep cells (column, row) free of labels."""
        self.taken.update(cells)

    def copy(self) -> Labels:
        """The same, to try labels in."""
        return replace(self, taken=set(self.taken), points=set(self.points))

    def place(self, texts: Sequence[str], column: int, row: int) -> Placed | None:
        """Find room for the first of some wordings beside a point."""
        for text in texts:
            length = len(text)
            for start, line in (
                (column + 2, row),
                (column - 1 - length, row),
                (column - length // 2, row + 1),
                (column - length // 2, row - 1),
                (column, row + 1),
                (column, row - 1),
                (column - length + 1, row + 1),
                (column - length + 1, row - 1),
                (column + 2, row + 1),
                (column + 2, row - 1),
                (column - 1 - length, row + 1),
                (column - 1 - length, row - 1),
            ):
                if self._is_free(start, line, length, (column, row)):
                    self.block((start + offset, line) for offset in range(-1, length + 1))
                    return text, start, line
        return None

    def _is_free(self, start: int, row: int, length: int, own: tuple[int, int]) -> bool:
        if start < 0 or start + length > self.width or not 0 <= row < self.height:
            return False
        if any((start + offset, row) in self.taken for offset in range(length)):
            return False
        beside = {(start + offset, row) for offset in range(-_CLEAR, length + _CLEAR)}
        if row != own[1]:  # a label above or below its point must not touch another one's from there
            beside |= {(start + offset, 2 * row - own[1]) for offset in range(length)}
        return not (beside & self.points) - {own}


def line_cells(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The cells that a straight line crosses, one a column or a row."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (round(start[0] + (end[0] - start[0]) * i / steps), round(start[1] + (end[1] - start[1]) * i / steps))
        for i in range(steps + 1)
    ]
