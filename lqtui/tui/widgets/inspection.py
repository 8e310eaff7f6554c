"""The charts of an inspected tensor, and its numbers in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.content import Content

from lqtui.recipe.inspection import BlockValues, Histogram, InspectedType, QuantizationError, WeightStatistics
from lqtui.recipe.shape import TensorInfo
from lqtui.recipe.types import TensorType
from lqtui.tui.inspection_plots import draw_block, draw_histogram
from lqtui.tui.widgets.chart_pane import ChartPane, Drawn, PlotColor
from lqtui.tui.widgets.quantities import bar

if TYPE_CHECKING:
    from textual_plotext import Plot

_BAR = 8
_DECADES = 3.0
"""Powers of ten of the relative error that the bars of the ladder span."""


class InspectionChart(ChartPane):
    """A histogram, or the weights of a block beside the values that they can have."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"inspection--{part}" for part in ("bars", "axis", "weight", "used", "unused")
    }
    DEFAULT_CSS = """
    InspectionChart {
        height: 1fr; width: 1fr;
        .inspection--bars { color: $primary; }
        .inspection--axis { color: $foreground 60%; }
        .inspection--weight { color: $text-warning; }
        .inspection--used { color: $text-success; }
        .inspection--unused { color: $foreground 35%; }
        &:ansi {
            .inspection--axis, .inspection--unused { color: ansi_bright_black; }
            .inspection--bars { color: ansi_blue; }
            .inspection--weight { color: ansi_yellow; }
            .inspection--used { color: ansi_green; }
        }
    }
    """

    def show(self, scene: Histogram | BlockValues | str) -> None:
        """Show a histogram or a block; or say in words why there is none."""
        self.show_scene(scene)

    def invitation(self) -> Sequence[str]:
        """What is said where there is nothing to draw."""
        return [self.scene] if isinstance(self.scene, str) else [] if self.scene is not None else [""]

    def draw(self, plot: Plot, width: int, height: int, colors: Mapping[str, PlotColor]) -> Drawn:
        """The drawing."""
        of_parts = {name.removeprefix("inspection--"): color for name, color in colors.items()}
        size = (width, height)
        if isinstance(self.scene, Histogram):
            drawn = draw_histogram(plot, self.scene, size, of_parts)
        else:
            assert isinstance(self.scene, BlockValues)
            drawn = draw_block(plot, self.scene, size, of_parts)
        return Drawn(Content.from_rich_text(Text.from_ansi(drawn)))


def facts(tensor: TensorInfo, found: WeightStatistics | None) -> Content:
    """What a tensor is and how its weights spread, in two lines."""
    dimensions = " × ".join(f"{extent:,}" for extent in tensor.ne)
    first = Content.assemble((dimensions, "bold"), f" · {tensor.type} · {tensor.n_weights:,} weights")
    if found is None:
        return Content("\n").join([first, Content.styled("reading …", "dim")])
    kurtosis = round(found.excess_kurtosis, 2) + 0.0  # never -0
    spread = f" · mean {found.mean:.2g} · sd {found.deviation:.3g}"
    tails = (
        f"{found.least:.3g} to {found.greatest:.3g} · excess kurtosis {kurtosis:+.2f} · "
        f"{100 * found.outlier_share:.2f} % beyond 3 sd"
    )
    return Content.assemble(first, (spread, "$text-primary"), "\n", (tails, "$text-primary"))


def error_said(error: QuantizationError, weighted: float | None) -> str:
    """What a type does to the weights, in numbers."""
    if not error.rmse:
        return "no error, every weight is kept as it is"
    snr = f"{error.snr:.1f} dB"
    said = f"{percent(error.relative)} error · RMSE {error.rmse:.3g} · max {error.greatest:.3g} · SNR {snr}"
    return said if weighted is None else f"{said} · output {percent(weighted)}"


def percent(share: float) -> str:
    """A share of one, as people read it."""
    return f"{100 * share:.3g} %"


def block_said(seen: BlockValues, tensor: TensorInfo) -> str:
    """Which block it is, and which values there are in it."""
    run = len(seen.weights)
    first = seen.number * run
    place = f"block {seen.number:,} of {tensor.n_weights // run:,}"
    place += f" · row {first // tensor.columns:,}, column {first % tensor.columns:,}"
    if not seen.are_decoded:
        return f"{place} · {len(seen.levels)} different values occur"
    minimum = f", minimum {seen.minimum:.3g}" if seen.minimum else ""
    return f"{place} · scale {seen.scale:.3g}{minimum} · {len(seen.used)} of {len(seen.levels)} values used"


@dataclass(frozen=True)
class Rung:
    """A type in the ladder, and what it does once that is known."""

    type: TensorType
    inspected: InspectedType | None


def ladder(rungs: Sequence[Rung], current: TensorType) -> Content:
    """Every type with its relative error, one below the other; bars are logarithmic."""
    lines = [Content.styled(f"   {'type':<8}{'bpw':>5} {'error':>8}", "bold")]
    for rung in rungs:
        is_here = rung.type is current
        name = f"{rung.type:<8}{rung.type.bits_per_weight:>5.3g}"
        mark = ("▸ " if is_here else "  ", "bold $accent")
        if rung.inspected is None:
            lines.append(Content.assemble(mark, (f" {name} {'…':>8}", "dim")))
            continue
        relative = rung.inspected.error.relative
        height = 1 + math.log10(relative) / _DECADES if relative else 0.0
        cells = Content.assemble(mark, (f" {name} {percent(relative):>8}  ", "bold" if is_here else ""))
        lines.append(cells + bar(max(0.0, height), _BAR))
    return Content("\n").join(lines)


def strip(types: Sequence[TensorType], current: TensorType, width: int) -> Content:
    """The types in one line, as many around the current one as there is room for."""
    here = types.index(current)
    first = last = here
    room = width - len(current) - 4
    while room > 0 and (first > 0 or last < len(types) - 1):
        for side in (-1, 1):
            index = first - 1 if side < 0 else last + 1
            if not 0 <= index < len(types):
                continue
            room -= len(types[index]) + 1
            if room < 0:
                break
            first, last = min(first, index), max(last, index)
    parts: list[tuple[str, str]] = [("◂ " if first else "  ", "dim")]
    for each in types[first : last + 1]:
        parts.append((f"[{each}]", "bold $accent") if each is current else (each.value, "$text-muted"))
        parts.append((" ", ""))
    if last < len(types) - 1:
        parts.append(("▸", "dim"))
    return Content.assemble(*parts)
