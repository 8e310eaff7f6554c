"""The size/quality chart outside the app: as a vector picture (SVG), and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from lqtui.recipe.printable import printable

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 16, 52
_LETTER_WIDTH, _LINE_HEIGHT = 6.6, 13.0
"""Pixels of a letter and a line of the labels, for keeping them apart."""
_LOGARITHMIC = 20
"""Where the largest value is so many times the smallest, the axis is logarithmic."""
_MARKS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class ChartPoint(NamedTuple):
    """A recipe: its name, its size in MiB, its quality, and the standard error of that."""

    name: str
    x: float
    y: float
    error: float = 0.0


class Axis(NamedTuple):
    """A range of values, linear or logarithmic, on so many pixels."""

    low: float
    high: float
    pixels: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Pixels from the low end; values beyond the ends lie on them."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return share * self.pixels

    def ticks(self) -> list[float]:
        """Round values on the axis: decades with 2 and 5 between them, or some five equal steps."""
        if self.logarithmic:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            values = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
            values = [value for value in values if self.low <= value <= self.high]
            return values if len(values) <= 8 else [v for v in values if f"{v:e}".startswith("1.0")]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 3))
        step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 6)
        first = math.ceil(self.low / step)
        return [step * n for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def mark(number: int) -> str:
    """The letter of the n-th point in a text chart; a dot where letters run out."""
    return _MARKS[number] if number < len(_MARKS) else "·"


def axes(points: Sequence[ChartPoint], width: float, height: float) -> tuple[Axis, Axis]:
    """The axes on which points, at least one, have room."""
    xs = [point.x for point in points]
    room = 0.08 * (max(xs) - min(xs)) or 0.1 * max(xs)
    x = Axis(max(0.0, min(xs) - room), max(xs) + room, width)
    positive = [point.y for point in points if point.y > 0]
    high = max((point.y + point.error for point in points), default=0.0)
    if positive and max(positive) > _LOGARITHMIC * min(positive):
        return x, Axis(min(positive) / 1.6, high * 1.3, height, logarithmic=True)
    low = min(point.y - point.error for point in points)
    room = 0.1 * (high - low) or 0.1 * abs(high) or 1.0
    return x, Axis(max(0.0, low - room), high + room, height)


def svg_chart(points: Sequence[ChartPoint], quality: str) -> str:
    """Points with error bars and names, as an SVG element that takes the colour of the text around it."""
    x, y = axes(points, _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM)
    bottom = _HEIGHT - _BOTTOM

    def at(point: ChartPoint, value: float) -> tuple[float, float]:
        return _LEFT + x.place(point.x), bottom - y.place(value)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="size against {escape(quality)}" font-family="sans-serif" font-size="12" '
        f'fill="currentColor" stroke="none">',
    ]
    for value in x.ticks():
        left = _LEFT + x.place(value)
        parts.append(_line(left, _TOP, left, bottom, 0.12))
        parts.append(_text(left, bottom + 18, f"{value:g}", "middle"))
    for value in y.ticks():
        height = bottom - y.place(value)
        parts.append(_line(_LEFT, height, _WIDTH - _RIGHT, height, 0.12))
        parts.append(_text(_LEFT - 8, height + 4, f"{value:g}", "end"))
    parts.append(_line(_LEFT, bottom, _WIDTH - _RIGHT, bottom, 0.6))
    parts.append(_line(_LEFT, _TOP, _LEFT, bottom, 0.6))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, "file size, MiB", "middle"))
    scale = f"{quality}{', logarithmic' if y.logarithmic else ''}"
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text x="16" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 16 {middle:.1f})">'
        f"{escape(scale)}</text>"
    )
    for point in points:
        left, upper = at(point, point.y + point.error)
        _, lower = at(point, point.y - point.error)
        if lower - upper > 2:
            parts.append(_line(left, upper, left, lower, 0.5))
    taken = [(*at(point, point.y), *at(point, point.y)) for point in points]
    for point in points:
        left, height = at(point, point.y)
        parts.append(f'<circle cx="{left:.1f}" cy="{height:.1f}" r="4" fill="#3b82f6"/>')
        parts.append(_label(point.name, left, height, taken))
    return "\n".join([*filter(None, parts), "</svg>"])


def text_chart(points: Sequence[ChartPoint], quality: str, width: int = 76, height: int = 20) -> str:
    """The points as letters, in the order in which they are given, as plain text."""
    import plotext

    plotext.clear_figure()
    plotext.plotsize(width, height)
    y = axes(points, width, height)[1]
    if y.logarithmic:
        plotext.yscale("log")
    for number, point in reversed(list(enumerate(points))):
        plotext.scatter([point.x], [max(point.y, y.low)], marker=mark(number))
    plotext.title(quality)
    plotext.xlabel("file size, MiB")
    drawn = plotext.uncolorize(plotext.build())
    return "\n".join(line.rstrip() for line in drawn.splitlines())


def _line(x1: float, y1: float, x2: float, y2: float, opacity: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor" '
        f'stroke-opacity="{opacity}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(printable(text))}</text>'


def _label(name: str, x: float, y: float, taken: list[tuple[float, float, float, float]]) -> str:
    """A point's name where it hides no other, nothing where there is no such place."""
    width = _LETTER_WIDTH * len(name)
    for left, baseline in (
        (x + 8, y + 4),
        (x - 8 - width, y + 4),
        (x - width / 2, y - 8),
        (x - width / 2, y + 18),
    ):
        box = (left, baseline - _LINE_HEIGHT + 2, left + width, baseline + 2)
        inside = box[0] > _LEFT and box[2] < _WIDTH and box[1] > _TOP and box[3] < _HEIGHT - _BOTTOM
        if inside and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            return _text(left, baseline, name, "start")
    return ""


def _overlap(box: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return box[0] < other[2] + 4 and other[0] < box[2] + 4 and box[1] < other[3] + 2 and other[1] < box[3] + 2
