"""What the trade-off chart shows: measured recipes as points, and the recipe in the grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lqtui.measure.rounding import plus_minus, rounded
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.quantities import MIB
from lqtui.tui.widgets.standings import is_base

if TYPE_CHECKING:
    from lqtui.recipe.recipe import Plan
    from lqtui.workbench import FrontierPoint, Result

FAR = 1.5
"""A file so many times larger than the next one is put at the edge, for the others to have room."""
_ERRORS_FIT = 2.5
"""Error bars are drawn where they stretch the points' range by no more than this."""
_LEAST_FORECAST = 1e-4
"""Nats that nobody would notice: what is predicted below has no place, as the axis would be all theirs."""
_LOGARITHMIC = 20
"""KLDs of which the largest is so many times the smallest are drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Point:
    """A measured recipe: its size in MiB, the metric and its error, and the metric in words.

    `told` is as `said`, with the error.
    """

    name: str
    digest: str
    x: float
    y: float
    error: float
    partial: bool
    said: str
    told: str = ""


@dataclass(frozen=True)
class Forecast:
    """The best recipe of its size in MiB: its predicted KLD, and the measured one where there is one.

    `digest` is that of its plan.
    """

    x: float
    y: float
    measured: float | None
    is_knee: bool
    digest: str = ""


@dataclass(frozen=True)
class Other:
    """A recipe in another slot: its letter, its name, its plan's digest and its size in MiB."""

    letter: str
    name: str
    digest: str
    x: float


@dataclass(frozen=True)
class Scene:
    """All that a chart shows; equal scenes look the same."""

    metric: Metric = Metric.KLD
    points: tuple[Point, ...] = ()
    broken: tuple[str, ...] = ()
    errors_are: str = ""
    current_name: str = ""
    current_digest: str = ""
    current_size: float = 0.0
    current_lacks: str = "not measured"
    """Why the current recipe has no point, where it has none."""
    current_forecast: float | None = None
    """The current recipe's predicted KLD, where it is not measured."""
    forecasts: tuple[Forecast, ...] = ()
    others: tuple[Other, ...] = ()

    @property
    def heights(self) -> list[float]:
        """All that has a place on the upright axis."""
        return [*(point.y for point in self.points), *self._predicted]

    @property
    def near_heights(self) -> list[float]:
        """Of these, what is not of files beyond the edge, whose quality is told in words."""
        return [*(point.y for point in near_and_far(self)[0]), *self._predicted]

    @property
    def _predicted(self) -> list[float]:
        current = [] if self.current_forecast is None else [self.current_forecast]
        return [y for f in self.forecasts for y in (f.y, f.measured) if y is not None] + current

    @property
    def current_is_measured(self) -> bool:
        """Whether the current recipe has a point of its own."""
        return any(point.digest == self.current_digest for point in self.points)

    @property
    def is_logarithmic(self) -> bool:
        """Whether the points would crowd at the bottom of a linear axis."""
        positive = [y for y in self.near_heights if y > 0]
        return self.metric is Metric.KLD and bool(positive) and max(positive) > _LOGARITHMIC * min(positive)


def scene_of(
    results: Sequence[Result],
    current: Plan | None,
    metric: Metric = Metric.KLD,
    frontier: Sequence[FrontierPoint] = (),
    predicted: float | None = None,
    others: Sequence[Other] = (),
) -> Scene:
    """What is to be drawn of results and the recipe in the grid; broken ones have no place on an axis.

    `frontier` and the current recipe's `predicted` KLD are drawn where the metric is the KLD. `others` are
    the recipes in other slots.
    """
    values = {
        Metric.KLD: _kld,
        Metric.PPL: _perplexities(results),
        Metric.SPEED: _speed,
        Metric.TOP1: _top1,
    }[metric]
    paired = metric is Metric.PPL and any(result.delta_percent_se for result in results)
    points = []
    for result in results:
        if not result.broken and (found := values(result)) is not None:
            value, error = found
            points.append(
                Point(
                    name=result.name,
                    digest=result.digest,
                    x=result.file_bytes / MIB,
                    y=value,
                    error=error,
                    partial=result.partial and metric is not Metric.SPEED,
                    said=_said(metric, rounded(value, error)[0]),
                    told=_said(metric, plus_minus(rounded(value, error))),
                )
            )
    scene = Scene(
        metric=metric,
        points=tuple(points),
        broken=tuple(result.name for result in results if result.broken),
        errors_are="SD" if metric is Metric.SPEED else "paired SE" if paired else "SE",
        forecasts=_forecasts(frontier) if metric is Metric.KLD else (),
        others=tuple(others),
    )
    if current is None:
        return scene
    is_measured = any(point.digest == current.digest for point in points)
    return replace(
        scene,
        current_forecast=predicted if metric is Metric.KLD and predicted and not is_measured else None,
        current_lacks=_lacks(next((r for r in results if r.digest == current.digest), None), metric),
        current_name=current.recipe.name,
        current_digest=current.digest,
        current_size=current.file_bytes / MIB,
    )


def _lacks(result: Result | None, metric: Metric) -> str:
    """What keeps a recipe from having a point."""
    if result is None:
        return "not measured"
    if result.broken:
        return "breaks the model"
    return f"no {'speed' if metric is Metric.SPEED else metric} yet"


def _forecasts(frontier: Sequence[FrontierPoint]) -> tuple[Forecast, ...]:
    return tuple(
        Forecast(
            point.plan.file_bytes / MIB,
            point.predicted_kld,
            point.measured_kld,
            point.is_knee,
            point.plan.digest,
        )
        for point in frontier
        if point.predicted_kld >= _LEAST_FORECAST
    )


_Value = tuple[float, float]
"""What is drawn of a result, and its error."""


def _kld(result: Result) -> _Value | None:
    return None if result.kld is None else (result.kld, result.kld_se or 0.0)


def _speed(result: Result) -> _Value | None:
    speed = result.generation
    return None if speed is None else (speed.mean, speed.sd)


def _top1(result: Result) -> _Value | None:
    """In percent of the tokens."""
    agreement = result.top1_agreement
    return None if agreement is None else (100 * agreement, 100 * (result.top1_agreement_se or 0.0))


def _perplexities(results: Sequence[Result]) -> Callable[[Result], _Value | None]:
    """Perplexities that may stand side by side, though some are of fewer chunks, which is another text.

    What is known of a change against the base is applied to the base's perplexity on all of its chunks.
    Where nothing is, a result that is not whole has no place beside those that are.
    """
    base = _base_perplexity(results)
    some_are_whole = not all(result.partial for result in results)

    def value(result: Result) -> _Value | None:
        if result.perplexity is None:
            return None
        if base is not None and result.delta_percent is not None:
            return base * (1 + result.delta_percent / 100), base * (result.delta_percent_se or 0.0) / 100
        if result.partial and some_are_whole:
            return None
        return result.perplexity, (result.perplexity_se or 0.0) if base is None else 0.0

    return value


def _base_perplexity(results: Sequence[Result]) -> float | None:
    """The base model's perplexity, as the result with the most chunks has it."""
    best = max(
        (result for result in results if result.delta_percent is not None and not result.broken),
        key=lambda result: (result.chunks, is_base(result)),
        default=None,
    )
    if best is None or best.perplexity is None or best.delta_percent is None:
        return None
    return best.perplexity / (1 + best.delta_percent / 100)


def _said(metric: Metric, value: str) -> str:
    """What a value is of, in a few words."""
    match metric:
        case Metric.SPEED:
            return f"{value} tok/s"
        case Metric.TOP1:
            return f"same top {value} %"
        case _:
            return f"{metric} {value}"


def near_and_far(scene: Scene) -> tuple[list[Point], list[Point]]:
    """Points to draw at their place, and files so large that they would squeeze the others together."""
    by_size = sorted(scene.points, key=lambda point: point.x)
    reach = max((forecast.x for forecast in scene.forecasts), default=0.0)
    for index in range(len(by_size) - 1, -1 if reach else 1, -1):
        before = max(reach, by_size[index - 1].x if index else 0.0)
        if by_size[index].x > FAR * before:
            return by_size[:index], by_size[index:]
    return by_size, []


def errors_fit(points: Sequence[Point]) -> bool:
    """Whether error bars leave the differences between points visible."""
    if len(points) < 2:
        return True
    span = max(point.y for point in points) - min(point.y for point in points)
    with_errors = max(p.y + p.error for p in points) - min(p.y - p.error for p in points)
    return with_errors <= _ERRORS_FIT * span
