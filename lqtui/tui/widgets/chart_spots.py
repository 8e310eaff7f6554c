"""The points of a chart that a person can walk to, and the way from one to the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

_REACH = 3.0
"""Lines that the mouse may be away from a point; a column counts for half a line."""


@dataclass(frozen=True)
class Spot:
    """A point of a chart: what it is, its place on the axes, and the cell in which it is seen.

    `cell` is a column and a line from the upper left, None where the point is out of sight. `says` tells of
    it in wordings from long to short. Points of one `line` are walked along.
    """

    key: Hashable
    place: tuple[float, float]
    cell: tuple[int, int] | None
    mark: str
    says: tuple[str, ...]
    line: Hashable = None


def spot_of(spots: Sequence[Spot], key: Hashable) -> Spot | None:
    """The spot with a key."""
    return next((spot for spot in spots if spot.key == key), None)


def beside(spots: Sequence[Spot], here: Spot, step: int) -> Spot:
    """The next spot of the same line to the right (`step` 1) or the left (-1); the same at the end."""
    mine = sorted((spot for spot in spots if spot.line == here.line), key=lambda spot: spot.place)
    return _next(mine, here, step)


def above(spots: Sequence[Spot], here: Spot, step: int) -> Spot:
    """The next spot upwards (`step` 1) or downwards (-1); of several lines the next one's nearest spot."""
    if len({spot.line for spot in spots}) == 1:
        return _next(sorted(spots, key=lambda spot: spot.place[::-1]), here, step)
    nearest: dict[Hashable, Spot] = {}
    for spot in spots:
        known = nearest.get(spot.line)
        if known is None or _aside(spot, here) < _aside(known, here):
            nearest[spot.line] = spot
    nearest[here.line] = here
    column = sorted(nearest.values(), key=lambda spot: (spot.place[1], str(spot.line)))
    return _next(column, here, step)


def at_end(spots: Sequence[Spot], here: Spot, *, last: bool) -> Spot:
    """The spot at the left or the right end of the same line."""
    pick: Callable[..., Spot] = max if last else min
    return pick((spot for spot in spots if spot.line == here.line), key=lambda spot: spot.place)


def under(spots: Sequence[Spot], column: int, line: int) -> Spot | None:
    """The spot that the mouse is on or close to."""

    def far(spot: Spot) -> float:
        if spot.cell is None:
            return math.inf
        return math.hypot((spot.cell[0] - column) / 2, spot.cell[1] - line)

    found = min(spots, key=far, default=None)
    return found if found is not None and far(found) <= _REACH else None


def _aside(spot: Spot, here: Spot) -> float:
    return abs(spot.place[0] - here.place[0])


def _next(row: Sequence[Spot], here: Spot, step: int) -> Spot:
    index = next(i for i, spot in enumerate(row) if spot.key == here.key)
    return row[min(max(index + step, 0), len(row) - 1)]
