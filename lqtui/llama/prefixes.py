"""In which order to evaluate recipes so that what they share is computed once.

A recipe is a path: what it does at level 0 (embedding and first block), level 1 (second block) … to the last
(head). Recipes that begin alike share their hidden states that far, so together they form a trie over depth.
Walked depth first, each node of the trie is computed once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

Path = tuple[Hashable, ...]


class Step(NamedTuple):
    """Evaluate a recipe from a depth on, and keep its hidden states at some depths for later steps.

    `shared` levels are the same as in the step before: states kept above that depth are of no more use.
    """

    recipe: int
    depth: int
    shared: int
    keep: tuple[int, ...]


def plan_steps(paths: Sequence[Path], usable: Callable[[int], bool]) -> list[Step]:
    """Order recipes so that each restarts as deep as the one before it allows.

    Args:
        paths: One for each recipe, all of the same length; the first is walked first.
        usable: Whether a restart at a depth is valid for this model.

    Returns:
        One step for each recipe; the first begins at depth 0.
    """
    order = _depth_first(paths)
    shared = [0] + [_common(paths[a], paths[b]) for a, b in itertools.pairwise(order)]
    depths = [next((d for d in range(levels, 0, -1) if usable(d)), 0) for levels in shared]
    steps = []
    for i, recipe in enumerate(order):
        keep, reach = set(), len(paths[recipe])
        for later in range(i + 1, len(order)):
            reach = min(reach, shared[later])
            if reach <= depths[i]:
                break
            if depths[i] < depths[later] <= reach:
                keep.add(depths[later])
        steps.append(Step(recipe, depths[i], shared[i], tuple(sorted(keep))))
    return steps


def _depth_first(paths: Sequence[Path]) -> list[int]:
    """The recipes' indices with equal beginnings side by side, the first recipe's at each level first."""
    ranks: dict[tuple[int, Hashable], int] = {}
    for path in paths:
        for level, choice in enumerate(path):
            ranks.setdefault((level, choice), len(ranks))
    return sorted(
        range(len(paths)), key=lambda i: [ranks[level, choice] for level, choice in enumerate(paths[i])]
    )


def _common(a: Path, b: Path) -> int:
    """How many levels two paths begin with in common, one less than all at most: the head is run anew."""
    same = 0
    while same < len(a) - 1 and a[same] == b[same]:
        same += 1
    return same
