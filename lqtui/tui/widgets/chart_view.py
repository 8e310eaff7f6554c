"""The part of a chart that is in sight."""

from __future__ import annotations

from dataclasses import dataclass

_CLOSEST = 1 / 400
"""The least share of an axis that is in sight."""
_MARGIN = 0.08
"""The share of an axis in sight that a point which is walked to keeps from the edge."""

Range = tuple[float, float]
Place = tuple[float, float]


@dataclass(frozen=True)
class View:
    """The ends of both axes, in their own coordinates: decimal logarithms on a logarithmic one."""

    x: Range
    y: Range

    def zoomed(self, factor: float, at: Place, whole: View) -> View | None:
        """So many times closer, with `at` in its place; None where that is all there is."""
        x, y = (
            _zoomed(mine, factor, where, (all_[1] - all_[0]) * _CLOSEST)
            for mine, where, all_ in ((self.x, at[0], whole.x), (self.y, at[1], whole.y))
        )
        if _span(x) >= _span(whole.x) * 0.999 and _span(y) >= _span(whole.y) * 0.999:
            return None
        return View(x, y)

    def with_in_sight(self, place: Place) -> View:
        """Moved no farther than it takes to have a place in sight."""
        return View(_moved(self.x, place[0]), _moved(self.y, place[1]))

    def has(self, place: Place) -> bool:
        """Whether a place is in sight."""
        return self.x[0] <= place[0] <= self.x[1] and self.y[0] <= place[1] <= self.y[1]


def _span(range_: Range) -> float:
    return range_[1] - range_[0]


def _zoomed(range_: Range, factor: float, at: float, least: float) -> Range:
    span = max(_span(range_) / factor, least)
    share = min(max((at - range_[0]) / _span(range_), 0.0), 1.0)
    low = min(max(at, range_[0]), range_[1]) - span * share
    return low, low + span


def _moved(range_: Range, value: float) -> Range:
    margin = _span(range_) * _MARGIN
    low, high = range_
    by = min(0.0, value - (low + margin)) + max(0.0, value - (high - margin))
    return low + by, high + by
