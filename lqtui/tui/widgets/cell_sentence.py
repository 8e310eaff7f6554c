"""Sentences for the status line: what is under the cursor, and why it is what it is."""

from __future__ import annotations

from collections import Counter

from lqtui.recipe.recipe import Plan, PlannedTensor
from lqtui.tui.widgets.grid_selection import GridSelection, Scope

_MIB = 1024 * 1024


def sentence(plan: Plan, selection: GridSelection) -> str:
    """What the next key acts on: one tensor, a block, or a range."""
    if not selection.layout.rows:
        return ""
    row = selection.cursor_row
    if selection.is_range:
        return _range(plan, selection)
    if row.note:
        return "The output uses the embedding's weights (tied): set embd to change both."
    if selection.scope is Scope.BLOCK and row.block is not None:
        return f"Block {row.block}: {_summary([plan.by_name[name] for name in row.names])}."
    tensor = row.names[0] if row.block is None else selection.cursor_tensor
    if tensor is None:
        return f"Block {row.block} has no {selection.layout.columns[selection.cursor_column].role}."
    return _tensor(plan.by_name[tensor])


def _tensor(planned: PlannedTensor) -> str:
    tensor = planned.tensor
    shape = "×".join(str(extent) for extent in tensor.ne)
    name = planned.name.removesuffix(".weight")
    size = f"{shape}, {planned.bytes / _MIB:.2f} MiB"
    if planned.fell_back:
        return f"{name}: {planned.reason}; {size}."
    change = (
        "as in the base model" if planned.effective is tensor.type else f"{tensor.type} in the base model"
    )
    return f"{name}: {planned.effective}, {change}; {size}."


def _range(plan: Plan, selection: GridSelection) -> str:
    planned = [plan.by_name[name] for name in selection.tensors]
    if not planned:
        return "Nothing is selected that has a type to set."
    title = selection.title
    if title.startswith(("block", "embedding", "everything", "output")):
        title = title[0].upper() + title[1:]
    return f"{title}: {_summary(planned)}. Keys set all of it; esc ends the selection."


def _summary(planned: list[PlannedTensor]) -> str:
    """How many tensors, of which types, and their size against the base."""
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
    fallen = sum(p.fell_back for p in planned)
    text = f"{kinds}, {size / _MIB:.1f} MiB"
    if size != base:
        text += f" of {base / _MIB:.1f}"
    if fallen:
        text += (
            f"; {fallen} fell back (≠), because their rows do not divide into blocks of the type asked for"
        )
    return text
