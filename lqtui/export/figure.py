"""A chart as a vector picture (SVG): its axes, and what is put on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

from lqtui.recipe.printable import printable

WIDTH, HEIGHT = 760, 440
"""Pixels of a chart."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 52
_LETTER_WIDTH, _LINE_HEIGHT = 6.8, 13.0
"""Pixels of a letter and a line of the labels, for keeping them apart."""
_INK = "#333"
"""What the text is drawn in where nothing around says so."""

Box = tuple[float, float, float, float]


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


def plot_size() -> tuple[float, float]:
    """The pixels between the ends of both axes."""
    return WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM


class Figure:
    """A chart being drawn; coordinates are the values on its axes."""

    def __init__(self, x: Axis, y: Axis, title: str, x_title: str, y_title: str) -> None:
        self.x, self.y, self.title = x, y, title
        self.bottom = HEIGHT - _BOTTOM
        self._taken: list[Box] = []
        scale = f"{y_title}{', logarithmic' if y.logarithmic else ''}"
        middle = (_TOP + self.bottom) / 2
        self._parts = [
            f'<text x="{_LEFT}" y="24" font-size="15" font-weight="600">{_safe(title)}</text>',
            self._text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 10, x_title, "middle"),
            f'<text x="16" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 16 {middle:.1f})">'
            f"{_safe(scale)}</text>",
        ]
        for value in y.ticks():
            height = self.bottom - y.place(value)
            self._line(_LEFT, height, WIDTH - _RIGHT, height, 0.12)
            self._parts.append(self._text(_LEFT - 8, height + 4, f"{value:g}", "end"))
        self._line(_LEFT, self.bottom, WIDTH - _RIGHT, self.bottom, 0.6)
        self._line(_LEFT, _TOP, _LEFT, self.bottom, 0.6)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The pixels of a place."""
        return _LEFT + self.x.place(x), self.bottom - self.y.place(y)

    def x_numbers(self, numbers: Mapping[float, str] | None = None, *, grid: bool = True) -> None:
        """The numbers of the lower axis: given ones, or round ones."""
        for value, said in (numbers or {value: f"{value:g}" for value in self.x.ticks()}).items():
            left = _LEFT + self.x.place(value)
            if grid:
                self._line(left, _TOP, left, self.bottom, 0.12)
            self._parts.append(self._text(left, self.bottom + 18, said, "middle"))

    def error(self, x: float, low: float, high: float, color: str = "currentColor") -> None:
        """An error bar, where it is long enough to be seen."""
        (left, lower), (_, upper) = self.at(x, low), self.at(x, high)
        if lower - upper > 2:
            self._line(left, upper, left, lower, 0.5, color)
            for end in (upper, lower):
                self._line(left - 3, end, left + 3, end, 0.5, color)

    def path(self, places: Iterable[tuple[float, float]], color: str, *, dashed: bool = False) -> None:
        """A line through places, which labels keep clear of."""
        corners = [self.at(*place) for place in places]
        for (x1, y1), (x2, y2) in pairwise(corners):
            steps = max(1, int(math.hypot(x2 - x1, y2 - y1) / _LINE_HEIGHT))
            for n in range(1, steps):
                x, y = x1 + (x2 - x1) * n / steps, y1 + (y2 - y1) * n / steps
                self._taken.append((x, y, x, y))
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.6"{dash}/>'
        )

    def mark(self, x: float, y: float, color: str, shape: str = "circle", *, hollow: bool = False) -> None:
        """A mark: a circle, a square, a triangle, a diamond or a cross."""
        left, height = self.at(x, y)
        look = f'fill="none" stroke="{color}" stroke-width="1.6"' if hollow else f'fill="{color}"'
        self._taken.append((left - 4, height - 4, left + 4, height + 4))
        if shape == "circle":
            self._parts.append(f'<circle cx="{left:.1f}" cy="{height:.1f}" r="4" {look}/>')
        else:
            self._parts.append(f'<path d="{_SHAPES[shape].format(x=left, y=height)}" {look}/>')

    def bar(self, x: float, y: float, width: float, color: str, *, hatched: bool = False) -> None:
        """A bar from the axis up, so many pixels wide; a hatched one tells of no measurement."""
        left, top = self.at(x, y)
        look = f'fill="url(#hatch)" stroke="{color}"' if hatched else f'fill="{color}"'
        height = max(self.bottom - top, 0.5)
        self._parts.append(
            f'<rect x="{left - width / 2:.1f}" y="{self.bottom - height:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" {look}/>'
        )

    def label(self, name: str, x: float, y: float) -> None:
        """A point's name where it hides no other; nothing where there is no such place."""
        left, height = self.at(x, y)
        name = printable(name)
        width = _LETTER_WIDTH * len(name)
        for start, baseline in (
            (left + 8, height + 4),
            (left - 8 - width, height + 4),
            (left - width / 2, height - 8),
            (left - width / 2, height + 18),
            (left + 6, height - 8),
            (left + 6, height + 16),
            (left - 6 - width, height - 8),
            (left - 6 - width, height + 16),
        ):
            box = (start, baseline - _LINE_HEIGHT + 2, start + width, baseline + 2)
            inside = box[0] > _LEFT and box[2] < WIDTH and box[1] > _TOP and box[3] < self.bottom
            if inside and not any(_overlap(box, other) for other in self._taken):
                self._taken.append(box)
                self._parts.append(self._text(start, baseline, name, "start"))
                return

    def key(self, entries: Sequence[tuple[str, str, str, bool]]) -> None:
        """What marks mean, in the upper right: shapes, colours, words, and whether they are hollow.

        To be given before labels, which then keep clear of it.
        """
        reach = max((_LETTER_WIDTH * len(said) for _, _, said, _ in entries), default=0.0) + 24
        end = float(WIDTH - _RIGHT)
        self._taken.append((end - reach, float(_TOP), end, _TOP + 18.0 * len(entries)))
        for number, (shape, color, said, hollow) in enumerate(entries):
            left, height = WIDTH - _RIGHT - 8.0, _TOP + 14.0 + 18 * number
            look = f'fill="none" stroke="{color}" stroke-width="1.6"' if hollow else f'fill="{color}"'
            form = _SHAPES.get(shape, _SHAPES["circle"]).format(x=left, y=height - 4)
            self._parts.append(f'<path d="{form}" {look}/>')
            self._parts.append(self._text(left - 12, height, said, "end"))

    def hold(self, x: float, y: float) -> None:
        """Keep labels off a point that comes later."""
        left, height = self.at(x, y)
        self._taken.append((left - 4, height - 4, left + 4, height + 4))

    def level(self, y: float, said: str) -> None:
        """A dashed line across at a value, and what it is: under it, or above where that is the axis."""
        _, height = self.at(self.x.low, y)
        self._parts.append(
            f'<line x1="{_LEFT}" y1="{height:.1f}" x2="{WIDTH - _RIGHT}" y2="{height:.1f}" '
            'stroke="currentColor" stroke-opacity="0.6" stroke-dasharray="3 4"/>'
        )
        baseline = height + 15 if height + 20 < self.bottom else height - 6
        width, right = _LETTER_WIDTH * len(said), float(WIDTH - _RIGHT)
        box = (right - width, baseline - _LINE_HEIGHT + 2, right, baseline + 2)
        while any(_overlap(box, other) for other in self._taken) and box[1] > _TOP:
            box = (box[0], box[1] - 6, box[2], box[3] - 6)
        self._taken.append(box)
        self._parts.append(self._text(right, box[3] - 2, said, "end"))

    def body(self) -> str:
        """All that was drawn, to be put into an SVG element."""
        return "\n".join(self._parts)

    def _line(
        self, x1: float, y1: float, x2: float, y2: float, opacity: float, color: str = "currentColor"
    ) -> None:
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" '
            f'stroke-opacity="{opacity}"/>'
        )

    @staticmethod
    def _text(x: float, y: float, text: str, anchor: str) -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_safe(text)}</text>'


_CIRCLE = "M {x:.1f} {y:.1f} m -4 0 a 4 4 0 1 0 8 0 a 4 4 0 1 0 -8 0"
_SHAPES = {
    "circle": _CIRCLE,
    "square": "M {x:.1f} {y:.1f} m -4 -4 h 8 v 8 h -8 z",
    "triangle": "M {x:.1f} {y:.1f} m 0 -5 l 5 9 h -10 z",
    "diamond": "M {x:.1f} {y:.1f} m 0 -5 l 5 5 l -5 5 l -5 -5 z",
    "cross": "M {x:.1f} {y:.1f} m -4 -4 l 8 8 m 0 -8 l -8 8",
}
_HATCH = (
    '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><line x1="0" y1="0" x2="0" y2="5" stroke="currentColor" '
    'stroke-opacity="0.6" stroke-width="1.5"/></pattern></defs>'
)


def svg(figures: Sequence[Figure], *, color: str | None = _INK) -> str:
    """Figures one below the other as one SVG element; without a colour, in that of the text around."""
    height = HEIGHT * len(figures)
    label = "; ".join(figure.title for figure in figures)
    ink = f' color="{color}"' if color else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{_safe(label)}" font-family="sans-serif" font-size="12" fill="currentColor"{ink}>',
        _HATCH,
    ]
    for number, figure in enumerate(figures):
        parts.append(f'<g transform="translate(0 {number * HEIGHT})">\n{figure.body()}\n</g>')
    return "\n".join([*parts, "</svg>"])


def _safe(text: str) -> str:
    return escape(printable(text))


def _overlap(box: Box, other: Box) -> bool:
    return box[0] < other[2] + 4 and other[0] < box[2] + 4 and box[1] < other[3] + 2 and other[1] < box[3] + 2
