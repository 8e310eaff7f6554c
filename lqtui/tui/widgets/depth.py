"""What blocks cost along the depth of a model, as bars: solid where measured, dotted where estimated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.style import Style

from lqtui.measure.rounding import plus_minus, small
from lqtui.tui.widgets.chart_layout import Axis, LogAxis, padded
from lqtui.tui.widgets.chart_pane import ChartPane, Drawn, PlotColor
from lqtui.tui.widgets.chart_spots import Spot
from lqtui.workbench import DepthScores

if TYPE_CHECKING:
    from textual_plotext import Plot

_SOLID = " ▁▂▃▄▅▆▇█"
_DOTTED = " ⡀⣀⣄⣤⣦⣶⣷⣿"
_STEPS = 8
"""Heights that a bar can end at within a line."""
_LOGARITHMIC = 30
"""Scores of which the largest is so many times the smallest have a logarithmic axis."""
_WIDEST = 6
"""Columns of a bar and the gap after it, at most."""


@dataclass(frozen=True)
class DepthScene:
    """Scores along the depth of a model of so many blocks, or in place of them what to do to get some."""

    scores: DepthScores | None = None
    blocks: int = 0
    invitation: tuple[str, ...] = ()


class DepthChart(ChartPane, can_focus=True):
    """One bar a block, from the first on the left to the last; where there are many, several in a column."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "depth--axis",
        "depth--measured",
        "depth--estimated",
        "depth--error",
    }
    DEFAULT_CSS = """
    DepthChart {
        height: 1fr;

        .depth--axis { color: $foreground 60%; }
        .depth--measured { color: $text-primary; }
        .depth--estimated { color: $foreground 60%; }
        .depth--error { color: $text-warning; }

        &:ansi {
            .depth--axis { color: ansi_bright_black; }
            .depth--measured { color: ansi_blue; }
            .depth--estimated { color: ansi_default; }
            .depth--error { color: ansi_yellow; }
        }
    }
    """
    scene: DepthScene = DepthScene()

    def show(self, scores: DepthScores | None, blocks: int, invitation: Sequence[str] = ()) -> None:
        """Show scores of a model of so many blocks; where there are none, say what to do instead."""
        self.show_scene(DepthScene(scores, blocks, () if scores else tuple(invitation)))

    def invitation(self) -> Sequence[str]:
        """What to do to get scores."""
        return self.scene.invitation

    def draw(self, plot: Plot, width: int, height: int, colors: Mapping[str, PlotColor]) -> Drawn:
        """The bars; plotext is not needed for them, as they end within a cell."""
        if self.scene.scores is None:
            return Drawn(Content(""))
        styles = {
            name.removeprefix("depth--"): Style(foreground=self.get_component_styles(name).color)
            for name in self.COMPONENT_CLASSES
        }
        self.call_later(self.begin)  # there is nothing on it but to walk
        bars = Bars(self.scene.scores, self.scene.blocks, width, height)
        return Drawn(bars.content(styles), bars.spots())


class Bars:
    """The bars of some scores on a canvas of so many cells."""

    def __init__(self, scores: DepthScores, blocks: int, width: int, height: int) -> None:
        self.scores = scores
        self.blocks = max(blocks, *(score.block + 1 for score in scores.blocks))
        self.lines = height - 2  # the axis and its numbers
        self.axis = _axis(scores, self.lines)
        self.ticks = {self.axis.cell(_value(self.axis, at)): said for at, said in self.axis.ticks(3)}
        self.left = 1 + max((len(said) for said in self.ticks.values()), default=1)
        self.columns = max(1, width - self.left)
        pitch = min(_WIDEST, self.columns / self.blocks)
        self.pitch = float(math.floor(pitch)) if pitch >= 1 else pitch
        self.bar = max(1, math.floor(self.pitch) - (self.pitch >= 2))

    def column(self, block: int) -> int:
        """The first column of a block's bar."""
        return min(math.floor(block * self.pitch), self.columns - 1)

    def height(self, value: float) -> int:
        """The height of a bar in eighths of a line; one at least."""
        share = (self.axis.place(value) - self.axis.low) / (self.axis.high - self.axis.low)
        return max(1, min(round(share * self.lines * _STEPS), self.lines * _STEPS))

    def content(self, styles: Mapping[str, Style]) -> Content:
        """The bars with their axes; of the bars of one column the highest."""
        glyphs = _DOTTED if self.scores.is_estimate else _SOLID
        kind = "estimated" if self.scores.is_estimate else "measured"
        heights, errors = [0] * self.columns, [0] * self.columns
        for score in self.scores.blocks:
            first = self.column(score.block)
            for column in range(first, min(first + self.bar, self.columns)):
                heights[column] = max(heights[column], self.height(score.value))
            if score.se:
                middle = min(first + (self.bar - 1) // 2, self.columns - 1)
                errors[middle] = max(errors[middle], self.height(score.value + score.se))
        rows = []
        for row in range(self.lines - 1, -1, -1):
            parts: list[tuple[str, Style]] = [self._label(row, styles["axis"])]
            for top, error in zip(heights, errors, strict=True):
                filled = min(max(top - row * _STEPS, 0), _STEPS)
                is_error = not filled and error > row * _STEPS + _STEPS // 2
                glyph = "│" if is_error else glyphs[filled]
                parts.append((glyph, styles["error" if is_error else kind]))
            rows.append(Content.assemble(*_joined(parts)))
        axis = " " * (self.left - 1) + "└" + "─" * self.columns
        return Content("\n").join(
            [*rows, Content.styled(axis, styles["axis"]), self._numbers(styles["axis"])]
        )

    def _label(self, row: int, style: Style) -> tuple[str, Style]:
        said = self.ticks.get(row)
        return (f"{said or '':>{self.left - 1}}{'┤' if said is not None else '│'}", style)

    def _numbers(self, style: Style) -> Content:
        """The numbers of blocks under their bars, as many as have room."""
        longest = len(str(self.blocks - 1)) + 2
        step = next(n for n in (1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 100, 1000) if n * self.pitch >= longest)
        line = " " * (self.left + self.columns)
        for block in range(0, self.blocks, step):
            start = self.left + self.column(block) + (self.bar - len(str(block))) // 2
            if max(start, 0) + len(str(block)) <= len(line):
                line = line[: max(start, 0)] + str(block) + line[max(start, 0) + len(str(block)) :]
        return Content.styled(line, style)

    def spots(self) -> tuple[Spot, ...]:
        """The tops of the bars."""
        found = []
        for score in self.scores.blocks:
            line = self.lines - 1 - (self.height(score.value) - 1) // _STEPS
            cell = self.left + min(self.column(score.block) + (self.bar - 1) // 2, self.columns - 1), line
            number = plus_minus(_number(score.value, score.se))
            says = f"blk.{score.block} · {number}", f"{score.block}: {_number(score.value, score.se)[0]}"
            mark = "≈" if self.scores.is_estimate else "●"
            found.append(Spot(score.block, (score.block, score.value), cell, mark, says))
        return tuple(found)


def _axis(scores: DepthScores, cells: int) -> Axis:
    """From zero where none is below; logarithmic where they differ much; else as far as they reach."""
    values = [score.value for score in scores.blocks]
    ends = [score.value + (score.se or 0.0) for score in scores.blocks]
    positive = [value for value in values if value > 0]
    if positive and len(positive) == len(values):
        if max(ends) > _LOGARITHMIC * min(positive):
            return LogAxis.of(min(positive) / 1.5, max(ends) * 1.2, cells)
        return Axis(0.0, max(ends) * 1.05, cells)
    return Axis(*padded(min(values), max(ends), 0.08, 1e-9), cells)


def _value(axis: Axis, coordinate: float) -> float:
    return 10.0**coordinate if isinstance(axis, LogAxis) else coordinate


def _number(value: float, se: float | None) -> tuple[str, str]:
    return small(value, se) if value >= 0 else (f"{value:.3f}", "")


def _joined(parts: Sequence[tuple[str, Style]]) -> list[tuple[str, Style]]:
    """Neighbours of one style as one."""
    joined: list[tuple[str, Style]] = []
    for text, style in parts:
        if joined and joined[-1][1] == style:
            joined[-1] = joined[-1][0] + text, style
        else:
            joined.append((text, style))
    return joined
