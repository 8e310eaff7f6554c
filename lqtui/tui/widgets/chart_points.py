"""The points of the trade-off chart as a person walks them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from lqtui.measure.rounding import small
from lqtui.tui.widgets.chart_drawing import Drawing
from lqtui.tui.widgets.chart_scene import Forecast, Point
from lqtui.tui.widgets.chart_spots import Spot
from lqtui.tui.widgets.quantities import MIB, size

FRONTIER, CURRENT = "frontier", "current"
"""What the keys of spots begin with that are no measured recipes, whose keys are their digests."""


def spots_of(drawing: Drawing) -> tuple[Spot, ...]:
    """All points, those out of sight too; that of the current recipe though nothing of it is measured."""
    near = [
        _spot(drawing, point.digest, drawing.place(point), drawing.look(point)[0], _says(point))
        for point in drawing.near
    ]
    far = [
        replace(
            _spot(drawing, point.digest, drawing.place(point), "→", _says(point)),
            cell=_seen_at(drawing, drawing.x.cells - 1, drawing.y.cell(point.y)),
        )
        for point in drawing.far
    ]
    forecasts = [
        _spot(
            drawing,
            (FRONTIER, forecast.digest),
            (forecast.x, drawing.upright.place(forecast.y)),
            "○",
            _says_of_forecast(forecast),
        )
        for forecast in drawing.scene.forecasts
    ]
    return (*near, *far, *forecasts, *_current_spot(drawing))


def _current_spot(drawing: Drawing) -> list[Spot]:
    """The recipe in the grid where it is not measured: at its prediction, or at the top with none."""
    scene, kld = drawing.scene, drawing.scene.current_forecast
    if not scene.current_name or scene.current_is_measured:
        return []
    told = size(int(scene.current_size * MIB))
    if kld is not None:
        place = scene.current_size, drawing.upright.place(kld)
        predicted = f"predicted KLD {small(kld)[0]}"
        says = f"{scene.current_name} · {told} · {predicted}", predicted
        cell = drawing.place_of_forecast
        return [Spot((CURRENT,), place, cell and _seen_at(drawing, *cell), "◇", says)]
    says = f"{scene.current_name} · {told} · {scene.current_lacks}", f"{told} · {scene.current_lacks}"
    column = drawing.x.cell(scene.current_size)
    in_sight = drawing.view == drawing.whole or 0 <= column < drawing.x.cells
    top = drawing.y.cells - 1 - bool(scene.broken)
    seen = _seen_at(drawing, min(column, drawing.x.cells - 1), top) if in_sight else None
    mark = "◇" if column < drawing.x.cells else "→"
    return [Spot((CURRENT,), (scene.current_size, drawing.view.y[1]), seen, mark, says)]


def _spot(
    drawing: Drawing, key: Hashable, place: tuple[float, float], mark: str, says: tuple[str, ...]
) -> Spot:
    seen = _seen_at(drawing, *drawing.cell(place)) if drawing.view.has(place) else None
    return Spot(key, place, seen, mark, says)


def _seen_at(drawing: Drawing, column: int, row: int) -> tuple[int, int]:
    """A cell of the canvas as the column and line from the upper left of the whole drawing."""
    return drawing.size[0] - drawing.x.cells + column, drawing.y.cells - 1 - row


def _says(point: Point) -> tuple[str, ...]:
    told = size(int(point.x * MIB))
    return f"{point.name} · {told} · {point.told}", f"{point.name} · {point.said}", point.name, point.said


def _says_of_forecast(forecast: Forecast) -> tuple[str, ...]:
    told, predicted = size(int(forecast.x * MIB)), f"predicted KLD {small(forecast.y)[0]}"
    measured = "" if forecast.measured is None else f" · measured {small(forecast.measured)[0]}"
    knee = "the knee · " if forecast.is_knee else ""
    return f"{knee}best of {told} · {predicted}{measured}", f"best of {told} · {predicted}", predicted
