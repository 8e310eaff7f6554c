"""The axes of the trade-off chart: how far they reach, and whether the upright one is logarithmic."""

from __future__ import annotations

from collections.abc import Sequence

from lqtui.tui.widgets.chart_layout import Axis, LogAxis, padded
from lqtui.tui.widgets.chart_scene import FAR, Point, Scene, errors_fit
from lqtui.tui.widgets.metric import Metric


def y_axis(scene: Scene, near: Sequence[Point], cells: int) -> Axis:
    """The upright axis: of KLD from zero, which is the base, or logarithmic; of the others what there is."""
    points = [*scene.points]
    reach = {point.digest: point.error for point in near} if errors_fit(near) else {}
    lows = [point.y - reach.get(point.digest, 0.0) for point in points] + scene.heights
    highs = [point.y + reach.get(point.digest, 0.0) for point in points] + scene.heights
    least = 1e-6 if scene.metric is Metric.KLD else max(highs) * 0.01
    if scene.is_logarithmic:
        low, high = min(y for y in scene.near_heights if y > 0) / 1.5, max(highs) * 1.5
        if any(point.y < low for point in points):  # the lowest row is theirs alone
            low /= (high / low) ** (1 / max(1, cells - 1))
        return LogAxis.of(low, high, cells)
    low, high = padded(min(lows), max(highs), 0.12, least)
    low = 0.0 if scene.metric is Metric.KLD else max(0.0, low)
    if scene.broken:  # whose names take the uppermost row
        high += (high - low) / max(1, cells - 2)
    elif scene.metric is Metric.TOP1:
        high = min(high, 100 + (high - low) / max(2, cells - 1) / 2)
    return Axis(low, high, cells)


def x_range(near: Sequence[Point], scene: Scene) -> tuple[float, float]:
    """The sizes that have a place: those of near points, of predicted recipes, and the current one's."""
    places = [point.x for point in near] + [forecast.x for forecast in scene.forecasts]
    low, high = min(places), max(places)
    current = scene.current_size
    if current:
        low = min(low, current)
        high = max(high, current) if current <= FAR * high else high
    return padded(low, high, 0.06, least=high * 0.05)
