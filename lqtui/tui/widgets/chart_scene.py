"""What the trade-off chart shows: measured recipes as points, and the recipe in the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lqtui.tui.widgets.quantities import MIB

if TYPE_CHECKING:
    from lqtui.recipe.recipe import Plan
    from lqtui.workbench import Result

FAR = 1.5
"""A file so many times larger than the next one is put at the edge, for the others to have room."""
_ERRORS_FIT = 2.5
"""Error bars are drawn where they stretch the points' range by no more than this."""


@dataclass(frozen=True)
class Point:
    """A measured recipe: size in MiB, perplexity and its error, both as on the axes."""

    name: str
    digest: str
    x: float
    y: float
    error: float
    partial: bool


@dataclass(frozen=True)
class Scene:
    """All that a chart shows; equal scenes look the same."""

    points: tuple[Point, ...] = ()
    paired: bool = False
    current_name: str = ""
    current_digest: str = ""
    current_size: float = 0.0
    selected_digest: str | None = None

    @property
    def current_is_measured(self) -> bool:
        """Whether the current recipe has a point of its own."""
        return any(point.digest == self.current_digest for point in self.points)


def scene_of(results: Sequence[Result], current: Plan | None, selected_digest: str | None) -> Scene:
    """What is to be drawn of some results and the recipe in the grid."""
    measured = [result for result in results if result.perplexity is not None and not result.broken]
    if not all(result.partial for result in measured):
        # Other chunks are another text: a perplexity over fewer of them has no place beside the others.
        measured = [result for result in measured if not result.partial]
    errors = [_paired_error(result) for result in measured]
    paired = any(error for error in errors if error)
    points = tuple(
        Point(
            name=result.name,
            digest=result.digest,
            x=result.file_bytes / MIB,
            y=result.perplexity or 0.0,
            error=(error or 0.0) if paired else result.perplexity_se or 0.0,
            partial=result.partial,
        )
        for result, error in zip(measured, errors, strict=True)
    )
    if current is None:
        return Scene(points, paired, selected_digest=selected_digest)
    return Scene(
        points, paired, current.recipe.name, current.digest, current.file_bytes / MIB, selected_digest
    )


def _paired_error(result: Result) -> float | None:
    """The error of the difference from the base, in perplexity."""
    if result.perplexity is None or result.delta_percent is None or result.delta_percent_se is None:
        return None
    base = result.perplexity / (1 + result.delta_percent / 100)
    return base * result.delta_percent_se / 100


def near_and_far(scene: Scene) -> tuple[list[Point], list[Point]]:
    """Points to draw at their place, and files so large that they would squeeze the others together."""
    by_size = sorted(scene.points, key=lambda point: point.x)
    for index in range(len(by_size) - 1, 1, -1):
        if by_size[index].x > FAR * by_size[index - 1].x:
            return by_size[:index], by_size[index:]
    return by_size, []


def errors_fit(points: Sequence[Point]) -> bool:
    """Whether error bars leave the differences between points visible."""
    if len(points) < 2:
        return True
    span = max(point.y for point in points) - min(point.y for point in points)
    with_errors = max(p.y + p.error for p in points) - min(p.y - p.error for p in points)
    return with_errors <= _ERRORS_FIT * span
