"""Sentences for the status line: how much what is under the cursor matters, and how far to trust that."""

from __future__ import annotations

from collections.abc import Sequence

from lqtui.measure.rounding import plus_minus, small
from lqtui.tui.widgets.grid_selection import GridSelection, Scope
from lqtui.tui.widgets.importance import ImportanceColumn, ScoreKind
from lqtui.workbench import ImportanceView


def with_importance(
    said: Sequence[str], view: ImportanceView, column: ImportanceColumn, selection: GridSelection
) -> list[str]:
    """What is under the cursor and its score, in wordings from long to short; `said` are those without it."""
    if selection.is_range and column.kind.is_estimate:
        return list(said)
    scores = _scores(view, column, selection)
    if not scores:
        return list(said)
    long, short = scores
    whole, *briefer = said
    head = whole.split(": ", 1)[0].split(", ", 1)[0]
    trust = agreement(view, column.kind)
    trusted = [
        f"{whole} {long} {trust}",
        f"{whole} {short} {trust}",
        f"{whole} {short} {_briefly(view, column.kind)}",
    ]
    return [
        *(trusted if trust else []),
        f"{whole} {long}",
        f"{whole} {short}",
        *(f"{brief} {short}" for brief in briefer),
        f"{head}: {long}",
        f"{head}: {short}",
    ]


def agreement(view: ImportanceView, kind: ScoreKind) -> str:
    """How far an estimate ranks as measurements do; empty for what was measured, or where too little was."""
    rho = view.correlations.get(kind.value) if kind.is_estimate else None
    if rho is None:
        return ""
    name = kind.value[0].upper() + kind.value[1:]
    what = "blocks" if kind.is_of_blocks else "tensors"
    return f"{name} ranks {what} with ρ = {_signed(rho)} to what was measured."


def _briefly(view: ImportanceView, kind: ScoreKind) -> str:
    return f"ρ = {_signed(view.correlations[kind.value])}." if kind.value in view.correlations else ""


def _signed(rho: float) -> str:
    return f"{rho:.2f}".replace("-", "−")


def _scores(
    view: ImportanceView, column: ImportanceColumn, selection: GridSelection
) -> tuple[str, str] | None:
    """The score in full and in short, None where it is not known."""
    row = selection.cursor_row
    single = selection.cursor_tensor if selection.scope is Scope.TENSOR else None
    names = selection.tensors if selection.is_range else (single,) if single else row.names
    match column.kind:
        case ScoreKind.MEASURED:
            return _measured(view, names, column)
        case ScoreKind.WEIGHTED_ERROR:
            return _weighted_error(view, names, column)
        case ScoreKind.LIM | ScoreKind.ZD:
            return _of_block(view, row.block, column.kind)


def _measured(view: ImportanceView, names: Sequence[str], column: ImportanceColumn) -> tuple[str, str] | None:
    known = view.kld_of(names)
    if known is None:
        return None
    value, is_sum = known
    if is_sum:
        number, _ = small(value)
        return (
            f"At {column.probe}: KLD {number}, the sum of {len(names)} tensors measured alone.",
            f"KLD Σ{number} at {column.probe}.",
        )
    score = next((s for s in view.scores if s.type is column.probe and set(s.unit.names) == set(names)), None)
    said = plus_minus(small(value, score.kld_se if score else None))
    chunks = f" on {score.chunks} chunk{'s' if score.chunks != 1 else ''}" if score else ""
    return f"Alone at {column.probe}: KLD {said}, measured{chunks}.", f"KLD {said} at {column.probe}."


def _weighted_error(
    view: ImportanceView, names: Sequence[str], column: ImportanceColumn
) -> tuple[str, str] | None:
    known = [error for name in names if (error := view.error_of(name)) is not None]
    if not known:
        return None
    share = f"{100 * sum(known) / len(known):.2g} %"
    whose = "of what it gives" if len(names) == 1 else "of what its tensors give, in the mean"
    return f"Estimated error at {column.probe}: {share} {whose}.", f"est. error {share}."


def _of_block(view: ImportanceView, block: int | None, kind: ScoreKind) -> tuple[str, str] | None:
    estimate = view.blocks.get(block) if block is not None else None
    if estimate is None:
        return None
    if kind is ScoreKind.ZD:
        number = f"{estimate.zd:.3f}"
        return f"Estimated ZD {number} (two-sided {estimate.zd_two_sided:.3f}).", f"est. ZD {number}."
    if estimate.lim is None:
        return None
    return f"Estimated LIM {estimate.lim:.3f}.", f"est. LIM {estimate.lim:.3f}."
