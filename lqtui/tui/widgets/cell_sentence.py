"""Sentences for the status line: what is under the cursor, and why it is what it is."""

from __future__ import annotations

from collections import Counter

from lqtui.recipe.recipe import Plan, PlannedTensor
from lqtui.tui.widgets.grid_selection import GridSelection, Scope

_MIB = 1024 * 1024


def sentences(plan: Plan, selection: GridSelection) -> tuple[str, ...]:
    """What the next key acts on, in wordings from long to short: one tensor, a block, or a range."""
    if not selection.layout.rows:
        return ("",)
    row = selection.cursor_row
    if selection.is_range:
        return _range(plan, selection)
    if row.note:
        return (
            "The output uses the embedding's weights (tied): set embd to change both.",
            "Tied to the embedding: set embd to change both.",
        )
    if selection.scope is Scope.BLOCK and row.block is not None:
        planned = [plan.by_name[name] for name in row.names]
        return tuple(f"Block {row.block}: {summary}." for summary in _summaries(planned))
    tensor = row.names[0] if row.block is None else selection.cursor_tensor
    if tensor is None:
        return (f"Block {row.block} has no {selection.layout.columns[selection.cursor_column].role}.",)
    return _tensor(plan, plan.by_name[tensor])


def _tensor(plan: Plan, planned: PlannedTensor) -> tuple[str, ...]:
    """A tensor's name and shape, its type and why it has that, and its bytes."""
    tensor = planned.tensor
    shape = "×".join(str(extent) for extent in tensor.ne)
    name, kind = planned.name.removesuffix(".weight"), planned.effective
    takes = f"{planned.bytes / _MIB:.2f}"
    base = f"{tensor.bytes_as(tensor.type) / _MIB:.2f}"
    if planned.fell_back:
        return (
            f"{name}, {shape}: {planned.reason}; {takes} of {base} MiB.",
            f"{name}: {planned.requested} asked, rows of {tensor.columns} fall back to {kind}; {takes} MiB.",
            f"{name}: {kind} for {planned.requested}, {takes} MiB.",
        )
    if kind is tensor.type:
        return f"{name}, {shape}: {kind} as in the base model, {takes} MiB.", f"{name}: {kind}, {takes} MiB."
    how = f"{kind} in place of {tensor.type}"
    if planned.file and plan.file is not None:
        how = f"{kind}, copied from {plan.file.name}"
    elif planned.imatrix:
        how = f"{kind} by the importance matrix"
    return (
        f"{name}, {shape}: {how}, {takes} of {base} MiB.",
        f"{name}: {how}, {takes} MiB.",
        f"{name}: {kind}, {takes} MiB.",
    )


def _range(plan: Plan, selection: GridSelection) -> tuple[str, ...]:
    planned = [plan.by_name[name] for name in selection.tensors]
    if not planned:
        return ("Nothing is selected that has a type to set.",)
    title = selection.title
    if title.startswith(("block", "embedding", "everything", "output")):
        title = title[0].upper() + title[1:]
    long, *shorter = _summaries(planned)
    return (
        f"{title}: {long}. Keys set all of it; esc ends the selection.",
        *(f"{title}: {summary}." for summary in (long, *shorter)),
    )


def _summaries(planned: list[PlannedTensor]) -> tuple[str, ...]:
    """How many tensors, of which types, and their size against the base, from long to short."""
    types = Counter(p.effective for p in planned)
    size = sum(p.bytes for p in planned)
    base = sum(p.tensor.bytes_as(p.tensor.type) for p in planned)
    count = len(planned)
    if len(types) == 1:
        kinds = (
            f"{count} tensor{'s' if count != 1 else ''}{', all' if count > 1 else ','} {next(iter(types))}"
        )
    else:
        kinds = ", ".join(f"{n} {t}" for t, n in types.most_common())
    text = f"{kinds}, {size / _MIB:.1f} MiB"
    if size != base:
        text += f" of {base / _MIB:.1f}"
    fallen = sum(p.fell_back for p in planned)
    if not fallen:
        return (text,)
    because = "because their rows do not divide into blocks of the type asked for"
    return f"{text}; {fallen} fell back (≠), {because}", f"{text}; {fallen} fell back (≠)"
