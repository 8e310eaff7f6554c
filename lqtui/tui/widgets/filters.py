"""What a person types behind `/`, and what of it matches tensors and names."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

from lqtui.recipe.presets import ranges
from lqtui.recipe.recipe import Plan, PlannedTensor
from lqtui.tui.widgets.grid_layout import GridLayout

MIXED, FALLBACK = "mixed", "fallback"
_BLOCKS = re.compile(r"(?:blk\.)?(\d{1,9})(?:-(\d{1,9}))?")


def matching_tensors(plan: Plan, layout: GridLayout, text: str) -> frozenset[str] | None:
    """The names of the tensors that all words of a filter match; None for an empty one, which hides none.

    A word is a block or some (`3`, `3-7`), a type or how it begins (`Q4_0`, `q4`), part of a tensor's name
    (`ffn_down`), a pattern of it (`blk.1?.attn_*`), `mixed` for rows of several types, or `fallback` for
    tensors whose type fell back; commas part words of which any may match, and `!` before a word asks for
    what it does not match.
    """
    words = text.lower().split()
    if not words:
        return None
    mixed = {
        name
        for row in layout.rows
        if len({plan.by_name[name].effective for name in row.names}) > 1
        for name in row.names
    }
    tests = [_any([_test(each, mixed) for each in word.split(",") if each.strip("!")]) for word in words]
    return frozenset(
        name for row in layout.rows for name in row.names if all(test(plan.by_name[name]) for test in tests)
    )


_Test = Callable[[PlannedTensor], bool]


def _any(tests: list[_Test]) -> _Test:
    return lambda planned: not tests or any(test(planned) for test in tests)


def _test(word: str, mixed: set[str]) -> _Test:
    if word.startswith("!"):
        other = _test(word.lstrip("!"), mixed)
        return lambda planned: not other(planned)
    if word == MIXED:
        return lambda planned: planned.name in mixed
    if word == FALLBACK:
        return lambda planned: planned.fell_back
    if of_blocks := _BLOCKS.fullmatch(word):
        first = int(of_blocks[1])
        last = int(of_blocks[2] or first)
        return lambda planned: planned.tensor.block is not None and first <= planned.tensor.block <= last
    return lambda planned: _is_type(planned, word) or _is_named(planned.name.lower(), word)


def _is_type(planned: PlannedTensor, word: str) -> bool:
    return len(word) > 1 and planned.effective.lower().startswith(word)


def _is_named(name: str, word: str) -> bool:
    """Whether a name, of the tensor or of its role, holds a word or is as a pattern says."""
    stem = name.removesuffix(".weight")
    role = stem.rpartition(".")[2]
    if any(mark in word for mark in "*?["):
        return any(fnmatchcase(each, word) for each in (name, stem, role))
    return word in (stem if "." in word else role)


def matches_name(name: str, text: str) -> bool:
    """Whether all words of a filter match a recipe's name, as parts or patterns; of some by commas, any."""
    name = name.lower()

    def is_so(word: str) -> bool:
        if word.startswith("!"):
            return not is_so(word.lstrip("!"))
        return fnmatchcase(name, word) if any(mark in word for mark in "*?[") else word in name

    return all(
        any(is_so(each) for each in word.split(",") if each.strip("!")) or not word.strip(",!")
        for word in text.lower().split()
    )


def count_of(layout: GridLayout, matching: frozenset[str]) -> str:
    """How much of the grid matches: `6 of 30 blocks`, with the tensors where not all of a block's do."""
    found = [row for row in layout.rows if any(name in matching for name in row.names)]
    blocks = [row.block for row in found if row.block is not None]
    said = f"{len(blocks)} of {len(layout.block_rows)}"
    others = [row.label for row in found if row.block is None]
    return " + ".join([said, *others])


def said_of(layout: GridLayout, names: tuple[str, ...]) -> str:
    """Tensors in a few words: `ffn_down of blocks 0-29`, `blocks 3-7`, else how many there are."""
    chosen = set(names)
    parts: list[tuple[tuple[str, ...], list[int]]] = []
    singles = []
    for row in layout.rows:
        here = tuple(name for name in row.names if name in chosen)
        if not here:
            continue
        if row.block is None:
            singles.append(row.title)
            continue
        whole = len(here) == len(row.names)
        roles = () if whole else tuple(_role(name) for name in here)
        if parts and parts[-1][0] == roles:
            parts[-1][1].append(row.block)
        else:
            parts.append((roles, [row.block]))
    if len({roles for roles, _ in parts}) > 1 or any(len(roles) > 3 for roles, _ in parts):
        return f"{len(names)} tensors"
    blocks = [block for _, of in parts for block in of]
    said = f"block{'s' if len(blocks) > 1 else ''} {ranges(blocks)}" if blocks else ""
    if parts and parts[0][0]:
        said = f"{', '.join(parts[0][0])} of {said}"
    return " and ".join(filter(None, [said, *singles])) or "nothing"


def _role(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]
