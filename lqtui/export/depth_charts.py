"""Charts along the depth of a model outside the app: what blocks cost, and how long quality lasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lqtui.export.figure import Axis, Figure, plot_size

_MEASURED, _ESTIMATED = "#3b82f6", "#6b7280"
_LOGARITHMIC = 30
_LOOKS = (
    ("circle", "#16a34a", False),
    ("triangle", "#3b82f6", False),
    ("diamond", "#d97706", False),
    ("diamond", "#9333ea", True),
    ("square", "#6b7280", True),
    ("cross", "#dc2626", True),
)


class BlockBar(NamedTuple):
    """A block, its score, and the standard error of that, 0 where nothing was measured."""

    block: int
    value: float
    error: float = 0.0


class Depth(NamedTuple):
    """One score along the depth of a model; what is estimated looks other than what was measured."""

    what: str
    bars: Sequence[BlockBar]
    is_estimate: bool


class LoweredLine(NamedTuple):
    """How much quality is left, in percent, as more percent of the blocks are lowered in one order.

    Points are shares, what is kept, and its deviation; lines that leave the scale do so downwards.
    """

    label: str
    points: Sequence[tuple[float, float, float]]
    leaves_scale: bool = False


class Lowering(NamedTuple):
    """The lines of all orders at one type; `level` is the percent of quality that is asked to be kept."""

    to: str
    lines: Sequence[LoweredLine]
    level: float


def depth_figure(depth: Depth) -> Figure:
    """A bar for each block: solid for what was measured, hatched for what is estimated."""
    width, height = plot_size()
    last = max(bar.block for bar in depth.bars)
    figure = Figure(
        Axis(-0.6, last + 0.6, width),
        _depth_axis(depth, height),
        f"By depth: {depth.what}",
        "block",
        "estimate, higher matters more" if depth.is_estimate else "KLD in nats, higher matters more",
    )
    pitch = width / (last + 1.2)
    step = next(n for n in (1, 2, 4, 5, 10, 20, 50, 100, 1000) if n * pitch >= 26)
    figure.x_numbers({float(block): str(block) for block in range(0, last + 1, step)}, grid=False)
    color = _ESTIMATED if depth.is_estimate else _MEASURED
    for bar in depth.bars:
        figure.bar(bar.block, bar.value, max(1.0, 0.72 * pitch), color, hatched=depth.is_estimate)
    for bar in depth.bars:
        figure.error(bar.block, bar.value - bar.error, bar.value + bar.error)
    return figure


def lowering_figure(lowering: Lowering) -> Figure:
    """A line and marks of its own for each order."""
    width, height = plot_size()
    on_scale = [
        end
        for line in lowering.lines
        if not line.leaves_scale
        for _, kept, sd in line.points
        for end in (kept - sd, kept + sd)
    ]
    on_scale = [*on_scale, lowering.level, 100.0]
    room = max(0.06 * (max(on_scale) - min(on_scale)), 0.5)
    figure = Figure(
        Axis(-2.0, 103.0, width),
        Axis(max(0.0, min(on_scale) - room), max(on_scale) + room, height),
        f"Quality as blocks are lowered to {lowering.to}",
        "blocks lowered, %",
        "quality kept, %",
    )
    figure.x_numbers()
    figure.level(lowering.level, f"{lowering.level:g} % kept")
    looks = dict(zip((line.label for line in lowering.lines), _LOOKS * 9, strict=False))
    for line in reversed(lowering.lines):
        shape, color, hollow = looks[line.label]
        seen = [point for point in line.points if point[1] >= figure.y.low]
        if len(seen) < len(line.points):
            seen.append(line.points[len(seen)])  # beyond the edge it lies on it
        figure.path([(share, kept) for share, kept, _ in seen], color, dashed=hollow)
        for share, kept, sd in seen:
            if sd:
                figure.error(share, kept - sd, kept + sd, color)
            if kept >= figure.y.low:
                figure.mark(share, kept, color, shape, hollow=hollow)
    figure.key([(shape, color, label, hollow) for label, (shape, color, hollow) in looks.items()])
    return figure


def _depth_axis(depth: Depth, pixels: float) -> Axis:
    values = [bar.value for bar in depth.bars]
    high = max(bar.value + bar.error for bar in depth.bars)
    if min(values) > 0:
        if high > _LOGARITHMIC * min(values):
            return Axis(min(values) / 1.5, high * 1.2, pixels, logarithmic=True)
        return Axis(0.0, high * 1.08, pixels)
    room = 0.08 * (high - min(values)) or 1.0
    return Axis(min(values) - room, high + room, pixels)
