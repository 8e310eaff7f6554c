"""What is seen of an inspected tensor, as plotext draws it: in the app, or line by line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lqtui.recipe.inspection import BlockValues, Histogram

PLAIN: Mapping[str, str] = dict.fromkeys(("bars", "axis", "weight", "used", "unused"), "default")
"""No colours at all."""
_MOST_LINES = 80
"""Levels beyond which lines would only fill the picture."""


def legend(block: BlockValues) -> str:
    """What the marks of a block's picture mean."""
    if not block.are_decoded:
        return "● a weight  │ a value that some become"
    return "● a weight  │ a value that some become  ┊ one that none does"


def draw_histogram(plot: Any, of: Histogram, size: tuple[int, int], colors: Mapping[str, Any] = PLAIN) -> str:
    """How many values lie where; `plot` is a figure of plotext's, or plotext itself."""
    _set_up(plot, size, colors)
    plot.ylim(0, max(of.counts) or 1)
    plot.xlim(of.low, of.high)
    plot.plot(of.centres, of.counts, marker="braille", fillx=True, color=colors["bars"])
    places = [of.low + share * (of.high - of.low) for share in (0.0, 0.5, 1.0)]
    plot.xticks(places, [f"{place:.2g}" for place in places])
    plot.yticks([], [])
    plot.yaxes(False, False)
    return str(plot.build())


def draw_block(
    plot: Any, block: BlockValues, size: tuple[int, int], colors: Mapping[str, Any] = PLAIN
) -> str:
    """The weights of a block along the values that they can have there, one below the other."""
    _set_up(plot, size, colors)
    width, height = size[0], size[1] - 2  # the axis and its numbers
    reach = [*block.weights, *block.values]
    shown = [level for level in block.levels if min(reach) <= level <= max(reach)] or list(block.levels)
    around = [*reach, *_next_levels(block, min(reach), max(reach))]
    margin = 0.02 * (max(around) - min(around)) or abs(around[0]) or 1.0
    low, high = min(around) - margin, max(around) + margin
    plot.xlim(low, high)
    plot.ylim(0, height - 1)
    if len(shown) <= min(_MOST_LINES, width):
        used = block.used
        for level in block.levels:
            if low <= level <= high:
                kind, mark = ("used", "│") if level in used else ("unused", "┊")
                plot.scatter([level] * height, list(range(height)), marker=mark, color=colors[kind])
    rows = [height - 1 - index * height // len(block.weights) for index in range(len(block.weights))]
    plot.scatter(list(block.weights), rows, marker="●", color=colors["weight"])
    places = [low + share * (high - low) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    plot.xticks(places, [f"{place:.3g}" for place in places])
    plot.yticks([], [])
    plot.yaxes(False, False)
    return str(plot.build())


def _next_levels(block: BlockValues, low: float, high: float) -> list[float]:
    """The levels just beyond either end: what could have been had too."""
    below = [level for level in block.levels if level < low]
    above = [level for level in block.levels if level > high]
    return [*below[-1:], *above[:1]] if block.are_decoded else []


def _set_up(plot: Any, size: tuple[int, int], colors: Mapping[str, Any]) -> None:
    plot.clear_figure()
    plot.plotsize(*size)
    if hasattr(plot, "_set_size"):  # as PlotextPlot does: plotsize alone is bound to the terminal's size
        plot._set_size(*size)
    plot.theme("clear")
    plot.ticks_color(colors["axis"])
    plot.xaxes(True, False)
