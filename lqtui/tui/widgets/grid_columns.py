"""What the layers tell of a row beside its cells: which columns there are, and which of them find room."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from lqtui.tui.widgets.grid_layout import GridLayout
from lqtui.tui.widgets.heat import SCORE_LEAST, Place, place_in
from lqtui.tui.widgets.importance import ImportanceColumn

_BAR_LEAST, _BAR_MOST = 4, 20
_BAR_GAP = 3


class GridFact(StrEnum):
    """A column of the layers that a person can show or hide, by the name that it is remembered by."""

    TYPE = "type"
    SIZE = "size"
    BPW = "bpw"
    SCORE = "score"
    PREDICTED = "predicted"
    BAR = "bar"

    @property
    def described(self) -> str:
        """What it tells."""
        return {
            GridFact.TYPE: "the type of all its tensors, or mixed",
            GridFact.SIZE: "MiB that it takes",
            GridFact.BPW: "bits per weight",
            GridFact.SCORE: "KLD measured alone, or an estimate",
            GridFact.PREDICTED: "KLD that it costs in the recipe",
            GridFact.BAR: "its size against the base model's",
        }[self]


DEFAULT_FACTS = frozenset({GridFact.TYPE, GridFact.SIZE, GridFact.SCORE, GridFact.BAR})
"""The columns that are shown where nobody has chosen."""

WIDTHS = {GridFact.TYPE: 9, GridFact.SIZE: 8, GridFact.BPW: 6, GridFact.PREDICTED: 10}
"""Cells that a column takes, those before it included."""


def cells_before(layout: GridLayout) -> int:
    """Cells of a row before the facts: the cursor's mark, the label and the tensors."""
    return 1 + layout.label_width + 1 + layout.cells_width


def fixed_width(layout: GridLayout, facts: Collection[GridFact]) -> int:
    """Cells that a row needs at the least: what is cut off beyond them can be scrolled to."""
    kept = (GridFact.TYPE, GridFact.SIZE)
    return cells_before(layout) + sum(WIDTHS[fact] for fact in kept if fact in facts)


@dataclass(frozen=True)
class FactsPlace:
    """The facts that are shown at a width, where the scores go, and the width of the bars (0: none)."""

    shown: frozenset[GridFact]
    score: Place | None
    bar: int


def place_facts(
    layout: GridLayout, width: int, chosen: Collection[GridFact], importance: ImportanceColumn | None
) -> FactsPlace:
    """Which of the chosen columns find room: the sizes first, then the scores where there are any.

    For these the types go too, which the cells tell already; without them types are cut off and can be
    scrolled to. The bars take what is left.
    """
    shown = {fact for fact in WIDTHS if fact in chosen}
    scored = importance is not None and GridFact.SCORE in chosen
    least = SCORE_LEAST if scored else 0
    room = width - cells_before(layout) - sum(WIDTHS[fact] for fact in shown)
    for fact in (GridFact.BPW, GridFact.PREDICTED, *((GridFact.TYPE,) if scored else ())):
        if room < least and fact in shown:
            shown.remove(fact)
            room += WIDTHS[fact]
    score = place_in(room, layout) if scored else None
    if score is not None:
        shown.add(GridFact.SCORE)
        room -= score.cells
    bar = min(room - _BAR_GAP, _BAR_MOST) if GridFact.BAR in chosen else 0
    if bar < _BAR_LEAST:
        return FactsPlace(frozenset(shown), score, 0)
    return FactsPlace(frozenset((*shown, GridFact.BAR)), score, bar)
