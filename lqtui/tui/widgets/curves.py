"""How long quality lasts as blocks are lowered: one curve for each order, as a chart and as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.style import Style

from lqtui.tui.widgets.chart_curves import CurvesDrawing, look_of
from lqtui.tui.widgets.chart_pane import ChartPane, Drawn, PlotColor
from lqtui.workbench import KEPT, Curve

if TYPE_CHECKING:
    from textual_plotext import Plot

_COLUMN = 7
_REACH = 14
"""Columns of how far 90 % is kept."""


@dataclass(frozen=True)
class CurvesScene:
    """All that the chart shows: curves with points, or in place of them what to do to get some."""

    curves: tuple[Curve, ...] = ()
    invitation: tuple[str, ...] = ("No curves are known yet.",)


class CurvesChart(ChartPane, can_focus=True):
    """The share of quality that is kept against the share of blocks that is lowered."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "curves--axis",
        "curves--label",
        "curves--measured",
        "curves--lim",
        "curves--zd",
        "curves--zd-two-sided",
        "curves--random",
        "curves--pruned",
    }
    DEFAULT_CSS = """
    CurvesChart {
        height: 1fr;

        .curves--axis { color: $foreground 50%; }
        .curves--label { color: $foreground 80%; }
        .curves--measured { color: $text-success; }
        .curves--lim { color: $text-primary; }
        .curves--zd { color: $text-warning; }
        .curves--zd-two-sided { color: $text-secondary; }
        .curves--random { color: $foreground 60%; }
        .curves--pruned { color: $text-error; }

        &:ansi {
            .curves--axis { color: ansi_bright_black; }
            .curves--label { color: ansi_default; }
            .curves--measured { color: ansi_green; }
            .curves--lim { color: ansi_blue; }
            .curves--zd { color: ansi_yellow; }
            .curves--zd-two-sided { color: ansi_magenta; }
            .curves--random { color: ansi_default; }
            .curves--pruned { color: ansi_red; }
        }
    }
    """
    scene: CurvesScene = CurvesScene()

    def show(self, curves: Sequence[Curve], invitation: Sequence[str]) -> None:
        """Show curves; where there is nothing of them yet, say what to do instead."""
        known = tuple(curve for curve in curves if len(curve.points) > 1)
        self.show_scene(CurvesScene(known, () if known else tuple(invitation)))

    def hue(self, curve: Curve) -> Style:
        """The style of a curve's mark outside of the chart."""
        return Style(foreground=self.get_component_styles(look_of(curve).component).color)

    def invitation(self) -> Sequence[str]:
        """What to do to get curves."""
        return self.scene.invitation

    def draw(self, plot: Plot, width: int, height: int, colors: Mapping[str, PlotColor]) -> Drawn:
        """The curves, and their marks to walk."""
        drawing = CurvesDrawing(plot, self.scene.curves, (width, height), colors)
        content = drawing.content()
        return Drawn(content, drawing.spots)


def table_of(curves: Sequence[Curve], width: int, hue: Callable[[Curve], Style]) -> Content:
    """For each order its mark and name, how far 90 % is kept, and what is kept at each share, as fits.

    The mark has the `hue` that its curve has.
    """
    shares = sorted({point.share for curve in curves for point in curve.points} - {0.0})
    label_width = max((len(curve.label) for curve in curves), default=0)
    room = max(0, (width - label_width - 2 - _REACH) // _COLUMN)
    while len(shares) > room:  # the last share is kept, as there all orders meet
        shares = shares[-1::-2][::-1] if room else []
    head = f"{'order':<{label_width + 2}}{f'{_percent(KEPT)} kept to':>{_REACH}}"
    lines = [Content.styled(head + "".join(_cell(share) for share in shares), "bold")]
    for curve in curves:
        kept = {point.share: point for point in curve.points}
        cells = [_cell(kept[share].kept if share in kept else None) for share in shares]
        look = look_of(curve)
        end = curve.share_at_kept
        reached = max(kept) >= 1.0 or end is not None or curve.is_pruned
        said = _percent(end) if end is not None else "the end" if reached else "…"
        lines.append(
            Content.assemble(
                (f"{look.mark} ", hue(curve)),
                f"{curve.label:<{label_width}}",
                (f"{said:>{_REACH}}", "bold"),
                ("".join(cells), "$text-muted"),
            )
        )
    return Content("\n").join(lines)


def _cell(value: float | None) -> str:
    return f"{'' if value is None else _percent(value):>{_COLUMN}}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
