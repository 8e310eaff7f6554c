"""Which blocks and tensors deserve the bits, as one column of the layer grid shows it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.grid_layout import GridLayout, GridRow
from lqtui.workbench import PROBE, ImportanceView

_Key = TypeVar("_Key", bound=Hashable)

LEVELS = 8
"""Heights that a mark of one character can have."""


class ScoreKind(StrEnum):
    """What blocks and tensors are ranked by, by the name that it goes by; all but the first are estimates."""

    MEASURED = "KLD"
    WEIGHTED_ERROR = "weighted error"
    LIM = "LIM"
    ZD = "ZD"

    @property
    def is_estimate(self) -> bool:
        """Whether nothing was measured for it."""
        return self is not ScoreKind.MEASURED

    @property
    def is_of_blocks(self) -> bool:
        """Whether it is told of whole blocks alone."""
        return self in (ScoreKind.LIM, ScoreKind.ZD)

    @property
    def described(self) -> str:
        """What it is."""
        return {
            ScoreKind.MEASURED: "KLD, measured with each tensor or block lowered alone",
            ScoreKind.WEIGHTED_ERROR: "weighted error, an estimate: how wrong a tensor's output gets",
            ScoreKind.LIM: "LIM, an estimate: how far a block turns what it is given",
            ScoreKind.ZD: "ZD, an estimate: the fewer of a block's weights have z > 1, the more it matters",
        }[self]

    @property
    def brief(self) -> str:
        """Its name in at most three letters."""
        return "err" if self is ScoreKind.WEIGHTED_ERROR else self.value


@dataclass(frozen=True)
class Mark:
    """One score: its value, how long its bar is, from 0 to 1, and its level, from 1 to 8.

    What was measured halves from level to level. An estimate's mark tells only its rank among the others,
    since estimates have no scale in common with what was measured.
    """

    value: float
    share: float
    level: int
    is_sum: bool = False


@dataclass(frozen=True)
class ImportanceColumn:
    """One kind of score of all rows of a grid, and of the tensors where it is told of them.

    `probe` is the type to which they were lowered, or are thought to be.
    """

    kind: ScoreKind
    probe: TensorType | None
    rows: tuple[Mark | None, ...]
    tensors: Mapping[str, Mark] = field(default_factory=dict)

    @property
    def is_sum(self) -> bool:
        """Whether blocks' scores are sums of their tensors', each lowered alone."""
        return any(mark is not None and mark.is_sum for mark in self.rows)

    @property
    def titles(self) -> tuple[str, ...]:
        """What stands over it, from long to short; estimates say so."""
        name, probe = self.kind.brief, self.probe
        if self.kind.is_of_blocks or probe is None:
            return (f"est. {name}",)
        if self.kind.is_estimate:
            return (f"est. {name} at {probe}", f"est. {name}")
        return (f"{name} at {probe}", f"{name} {probe}", probe)

    def marks(self, row: GridRow) -> tuple[Mark | None, ...]:
        """The marks of a row's tensors, one for each of its cells."""
        return tuple(self.tensors.get(name) if name else None for name in row.cells)


def column_of(view: ImportanceView, kind: ScoreKind, layout: GridLayout) -> ImportanceColumn | None:
    """A kind of score for a grid, None where nothing of it is known."""
    tensors = {name: _of_tensor(view, kind, name) for row in layout.rows for name in row.names}
    rows = [_of_row(view, kind, row, tensors) for row in layout.rows]
    marks = _marks({y: found[0] for y, found in enumerate(rows) if found}, kind)
    if not marks:
        return None
    of_blocks = {n: v for row in layout.rows if row.block is not None for n in row.names if (v := tensors[n])}
    return ImportanceColumn(
        kind,
        None if kind.is_of_blocks else view.probe or PROBE,
        tuple(found and replace(marks[y], is_sum=found[1]) for y, found in enumerate(rows)),
        _marks(of_blocks, kind),
    )


def known_kinds(view: ImportanceView, layout: GridLayout) -> tuple[ScoreKind, ...]:
    """The kinds of which something is known, the most telling first."""
    return tuple(kind for kind in ScoreKind if column_of(view, kind, layout) is not None)


def _of_tensor(view: ImportanceView, kind: ScoreKind, name: str) -> float | None:
    if kind.is_of_blocks:
        return None
    if kind is ScoreKind.WEIGHTED_ERROR:
        return view.error_of(name)
    known = view.kld_of((name,))
    return known[0] if known else None


def _of_row(
    view: ImportanceView, kind: ScoreKind, row: GridRow, tensors: Mapping[str, float | None]
) -> tuple[float, bool] | None:
    """A row's score, and whether it is a sum of its tensors'; of weighted errors it is the mean."""
    if kind is ScoreKind.MEASURED:
        return view.kld_of(row.names) if row.names else None
    if kind is ScoreKind.WEIGHTED_ERROR:
        known = [value for name in row.names if (value := tensors[name]) is not None]
        return (sum(known) / len(known), False) if known else None
    of_blocks = view.block_scores.get(kind.value, {})
    value = of_blocks.get(row.block) if row.block is not None else None
    return None if value is None or not math.isfinite(value) else (value, False)


def _marks(values: Mapping[_Key, float], kind: ScoreKind) -> dict[_Key, Mark]:
    """Marks of what was measured fall by a level where a value halves; those of estimates tell ranks."""
    if kind.is_estimate:
        ranked = sorted(set(values.values()))
        place = {value: (i + 1) / len(ranked) for i, value in enumerate(ranked)}
        return {key: _mark(value, place[value]) for key, value in values.items()}
    most = max(values.values(), default=0.0)
    return {
        key: _mark(value, 1 + math.log2(value / most) / LEVELS if value > 0 else 0.0)
        for key, value in values.items()
    }


def _mark(value: float, share: float) -> Mark:
    return Mark(value, max(share, 0.0), min(max(math.ceil(share * LEVELS - 1e-9), 1), LEVELS))
