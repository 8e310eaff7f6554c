"""Sentences for the status line on a point of the trade-off chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lqtui.measure.rounding import plus_minus, rounded, small
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.quantities import size
from lqtui.tui.widgets.result_columns import Row
from lqtui.tui.widgets.standings import CONFIDENCE, Standings, is_base

if TYPE_CHECKING:
    from lqtui.recipe.recipe import Plan
    from lqtui.workbench import FrontierPoint


def of_result(row: Row, standings: Standings, metric: Metric) -> list[str]:
    """A measured recipe: its size, what it is judged by with its error, and how it stands beside another."""
    name, told = row.result.title, size(row.result.file_bytes)
    value, verdict = _value(row, metric), _verdict(row, standings)
    others = [said for other in Metric if other is not metric and (said := _value(row, other))]
    times = f", {row.base_bytes / row.result.file_bytes:.2f}× smaller" if row.base_bytes else ""
    ends = f"; {verdict}." if verdict else "."
    return [
        f"{name}: {told}{times}, {', '.join([value, *others])}{ends}",
        f"{name}: {told}{times}, {value}{ends}",
        f"{name}: {told}, {value}{ends}",
        f"{name}: {told}, {value}.",
        f"{told}, {value}{ends}",
        f"{told}, {value}.",
    ]


def of_prediction(point: FrontierPoint) -> list[str]:
    """The best recipe of its size, as the frontier predicts it."""
    told = size(point.plan.file_bytes)
    predicted = f"predicted KLD {small(point.predicted_kld)[0]}"
    if point.measured_kld is not None:
        predicted += f", measured {plus_minus(small(point.measured_kld, point.measured_kld_se))} on its text"
    knee = ", the knee: beyond it a MiB buys little" if point.is_knee else ""
    return [
        f"The best recipe of {told}, by what was measured of its parts{knee}: {predicted}.",
        f"The best recipe of {told}{', the knee' if knee else ''}: {predicted}.",
        f"{told}: {predicted}.",
    ]


def of_current(plan: Plan, predicted: float | None, measure_key: str) -> list[str]:
    """The recipe in the grid, of which nothing is measured."""
    told = f"predicted KLD {small(predicted)[0]}, not measured" if predicted else "not measured"
    name, place = plan.recipe.name, size(plan.file_bytes)
    return [
        f"{name}, the recipe in the grid: {place}, {told}; {measure_key} measures it.",
        f"{name}: {place}, {told}.",
        f"{place}, {told}.",
    ]


def _value(row: Row, metric: Metric) -> str:
    """What a metric is of a result, with its error; empty where it is not known."""
    result = row.result
    if metric is Metric.KLD and result.kld is not None:
        return f"KLD {plus_minus(rounded(result.kld, result.kld_se))}"
    if metric is Metric.PPL and result.perplexity is not None:
        return f"PPL {plus_minus(rounded(result.perplexity, result.perplexity_se))}"
    if metric is Metric.SPEED and result.generation is not None:
        return f"{plus_minus(rounded(result.generation.mean, result.generation.sd))} tok/s"
    if metric is Metric.TOP1 and result.top1_agreement is not None:
        percent = 100 * result.top1_agreement, 100 * (result.top1_agreement_se or 0.0)
        return f"same top {plus_minus(rounded(*percent))} %"
    return ""


def _verdict(row: Row, standings: Standings) -> str:
    """How it stands beside the recipe that the others are compared with."""
    reference, found = standings.reference, row.comparison
    if is_base(row.result):
        return "the base model"
    if row.is_reference:
        return "the others are compared with it"
    if row.progress:
        return f"{row.progress} chunks so far"
    if reference is None or found is None:
        return ""
    if found.verdict == "can't tell":
        return f"can't tell from {reference.title}"
    return f"{found.verdict.value} than {reference.title} ({100 * CONFIDENCE:g} %)"
