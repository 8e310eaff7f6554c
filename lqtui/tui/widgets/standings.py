"""How every recipe stands beside one of them, worked out once for each pair and number of chunks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lqtui.measure.paired import Comparison
    from lqtui.workbench import Result, Workbench

CONFIDENCE = 0.95
_AT_ONCE = 0.01
"""Seconds after which comparisons make way for keys."""
_KEPT = 4096

_State = tuple[str, int, float | None, float | None, bool]


@dataclass(frozen=True)
class Standings:
    """Comparisons of recipes with the reference, by their digests; `complete` when none is still due.

    Each verdict is right with 95 % confidence, or with `together` all of them at once are.
    """

    reference: Result | None = None
    beside: Mapping[str, Comparison] = field(default_factory=dict)
    complete: bool = True
    together: bool = False
    beside_base: Mapping[str, Comparison] = field(default_factory=dict)
    """The whole results compared with the base model."""


class Comparer:
    """Compares recipes with a reference, and keeps what it found."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self._known: dict[tuple[_State, _State, float], Comparison | None] = {}

    def standings(
        self, results: Sequence[Result], reference: Result | None, *, picked: bool = False
    ) -> Standings:
        """Compare as many as a moment allows; ask again where the answer is not complete.

        With `picked` the reference is the recipe with the best numbers, which some are by chance: verdicts
        are then right for all recipes together.
        """
        if reference is None:
            return Standings()
        if len(self._known) > _KEPT:
            self._known.clear()
        confidence = _for_all(results) if picked else CONFIDENCE
        end = time.perf_counter() + _AT_ONCE
        beside, complete = self._beside(reference, results, confidence, end)
        base = next((result for result in results if is_base(result)), None)
        beside_base: dict[str, Comparison] = {}
        if complete and base is not None:
            whole = [result for result in results if not result.partial]
            beside_base, complete = self._beside(base, whole, CONFIDENCE, end)
        return Standings(reference, beside, complete, picked, beside_base)

    def _beside(
        self, other: Result, results: Sequence[Result], confidence: float, end: float
    ) -> tuple[dict[str, Comparison], bool]:
        """What is known of results beside another one by the time of `end`, and whether that is all."""
        beside: dict[str, Comparison] = {}
        complete = True  # or else asked once too often, which costs nothing
        for result in results:
            if result.digest == other.digest or not is_scored(result):
                continue
            pair = _state(result), _state(other), confidence
            if pair not in self._known and complete:
                self._known[pair] = self._compare(result, other, confidence)
                complete = time.perf_counter() < end
            if (found := self._known.get(pair)) is not None:
                beside[result.digest] = found
        return beside, complete

    def _compare(self, result: Result, reference: Result, confidence: float) -> Comparison | None:
        """As long as chunks arrive the verdict is one that may be looked at after each of them."""
        found = self._workbench.compare(result, reference, confidence)
        if found is None or not (result.partial or reference.partial):
            return found
        look = self._workbench.look(result, reference, confidence)
        if look is None:
            return None
        return replace(found, verdict=look.verdict, chunks_to_go=look.chunks_to_go)


def _state(result: Result) -> _State:
    return result.digest, result.chunks, result.kld, result.perplexity, result.partial


def _for_all(results: Sequence[Result]) -> float:
    """The confidence of each pair with which no verdict is false in 95 of 100 tables (Bonferroni).

    All pairs of recipes count, because the numbers decide which of them is compared with: by the number of
    rows alone, some of 11 equal recipes would be called worse in 10 to 15 of 100 tables.
    """
    rivals = sum(is_scored(result) and not is_base(result) for result in results)
    return 1 - (1 - CONFIDENCE) / max(1, rivals * (rivals - 1) // 2)


def is_scored(result: Result) -> bool:
    """Whether there are chunks to compare, with numbers in them."""
    return result.perplexity is not None and not result.broken


def is_base(result: Result) -> bool:
    """Whether this is the base model itself, which differs from itself by exactly nothing."""
    return result.delta_nll == 0 and not result.delta_nll_se


def reference_of(results: Sequence[Result], current: str | None, chosen: str | None) -> Result | None:
    """The recipe that others are compared with.

    It is the one that the person chose, or else the current one, or else the best. The last two are not the
    base model, which no recipe can be closer to, nor lack chunks that others have.

    Args:
        results: What is known.
        current: The digest of the recipe in the grid.
        chosen: The digest of the recipe that the person chose.
    """
    scored = {result.digest: result for result in results if is_scored(result)}
    if chosen in scored:
        return scored[chosen]
    rivals = [result for result in scored.values() if not is_base(result)]
    # One chunk less is what a recipe has whose turn comes later.
    most = max((result.chunks for result in rivals), default=0)
    rivals = [result for result in rivals if result.chunks >= most - 1]
    mine = next((result for result in rivals if result.digest == current), None)
    return mine or min(rivals, key=_quality, default=None)


def _quality(result: Result) -> tuple[bool, float]:
    if result.kld is not None:
        return False, result.kld
    return True, result.perplexity or 0.0
