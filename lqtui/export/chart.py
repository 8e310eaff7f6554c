"""The size/quality chart outside the app: as a vector picture, and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lqtui.export.figure import Axis, Figure, plot_size

_LOGARITHMIC = 20
"""Where the largest value is so many times the smallest, the axis is logarithmic."""
_FAR = 1.5
"""A file so many times larger than the next one is told of at the edge."""
_MARKS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MEASURED, _FRONTIER, _PREDICTED = "#3b82f6", "#16a34a", "#9333ea"


class ChartPoint(NamedTuple):
    """A recipe: its name, its size in MiB, its quality, and the standard error of that."""

    name: str
    x: float
    y: float
    error: float = 0.0


class TradeOff(NamedTuple):
    """Recipes by size and by one quality; `predicted` are sizes and qualities of which none was measured."""

    quality: str
    """What the title calls it."""
    axis: str
    """What stands beside the axis, with the unit."""
    points: Sequence[ChartPoint]
    more_is_better: bool = False
    predicted: Sequence[tuple[float, float]] = ()

    @property
    def best(self) -> list[ChartPoint]:
        """The recipes that none beats: none is both smaller and better. From small to large."""
        sign = -1 if self.more_is_better else 1
        kept: list[ChartPoint] = []
        for point in sorted(self.points, key=lambda point: (point.x, sign * point.y)):
            if not kept or sign * point.y < sign * kept[-1].y:
                kept.append(point)
        return kept

    @property
    def near_and_far(self) -> tuple[list[ChartPoint], list[ChartPoint]]:
        """Points to draw at their place, and files so large that they would squeeze the others together."""
        by_size = sorted(self.points, key=lambda point: point.x)
        reach = max((x for x, _ in self.predicted), default=0.0)
        for index in range(len(by_size) - 1, 0, -1):
            if by_size[index].x > _FAR * max(reach, by_size[index - 1].x):
                return by_size[:index], by_size[index:]
        return by_size, []


def mark(number: int) -> str:
    """The letter of the n-th point in a text chart; a dot where letters run out."""
    return _MARKS[number] if number < len(_MARKS) else "·"


def axes(
    points: Sequence[ChartPoint],
    width: float,
    height: float,
    predicted: Sequence[tuple[float, float]] = (),
) -> tuple[Axis, Axis]:
    """The axes on which points, at least one, have room."""
    xs = [point.x for point in points] + [x for x, _ in predicted]
    ys = [point.y for point in points] + [y for _, y in predicted]
    room = 0.08 * (max(xs) - min(xs)) or 0.1 * max(xs)
    x = Axis(max(0.0, min(xs) - room), max(xs) + room, width)
    positive = [y for y in ys if y > 0]
    high = max([point.y + point.error for point in points] + ys)
    if positive and max(positive) > _LOGARITHMIC * min(positive):
        return x, Axis(min(positive) / 1.6, high * 1.3, height, logarithmic=True)
    low = min([point.y - point.error for point in points] + ys)
    room = 0.1 * (high - low) or 0.1 * abs(high) or 1.0
    return x, Axis(max(0.0, low - room), high + room, height)


def trade_off_figure(chart: TradeOff) -> Figure:
    """Points with error bars and names, the line of those that none beats, and what is predicted, hollow."""
    near, far = chart.near_and_far
    width, height = plot_size()
    x, _ = axes(near, width, height, chart.predicted)
    _, y = axes(chart.points, width, height, chart.predicted)
    better = "higher is better" if chart.more_is_better else "lower is better"
    figure = Figure(x, y, f"File size and {chart.quality}", "file size, MiB", f"{chart.axis}, {better}")
    figure.x_numbers()
    if chart.predicted:
        measured = "circle", _MEASURED, "measured", False
        figure.key([measured, ("circle", _PREDICTED, "predicted best of its size", True)])
    for point in near:
        figure.hold(point.x, point.y)
    for point in far:
        figure.level(point.y, f"{point.name}: {point.y:.4g} at {point.x:.1f} MiB →")
    for place in chart.predicted:
        figure.mark(*place, _PREDICTED, hollow=True)
    best = [point for point in chart.best if point in near]
    if len(best) > 1:
        figure.path([(point.x, point.y) for point in best], _FRONTIER, dashed=True)
    for point in near:
        figure.error(point.x, point.y - point.error, point.y + point.error)
    for point in near:
        figure.mark(point.x, point.y, _MEASURED)
    for point in sorted(near, key=lambda point: point not in best):
        figure.label(point.name, point.x, point.y)
    return figure


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
