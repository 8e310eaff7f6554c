"""What is known of which tensors deserve the bits, as screens and commands show it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from lqtui.recipe.types import TensorType
from lqtui.recipe.units import Unit
from lqtui.solve.costs import OutputErrors
from lqtui.store.estimates import BlockEstimate, TensorEstimate


@dataclass(frozen=True)
class Score:
    """What was measured of one unit alone at one type, on the calibration text. In nats."""

    unit: Unit
    asked: TensorType
    """The type that was asked for, at which units are compared."""
    type: TensorType
    """What became of it: rows that do not divide into a type's blocks fall back to another."""
    kld: float
    kld_se: float
    delta_nll: float
    delta_nll_se: float
    chunks: int


@dataclass(frozen=True)
class ImportanceView:
    """What is known of which tensors deserve the bits: measured scores, and cheap estimates beside them."""

    scores: tuple[Score, ...] = ()
    tensors: Mapping[str, TensorEstimate] = field(default_factory=dict)
    blocks: Mapping[int, BlockEstimate] = field(default_factory=dict)

    @cached_property
    def probe(self) -> TensorType | None:
        """The type at which most units were measured."""
        types = [score.asked for score in self.scores]
        return max(types, key=types.count) if types else None

    @cached_property
    def _of_probe(self) -> dict[frozenset[str], Score]:
        return {frozenset(score.unit.names): score for score in self.scores if score.asked is self.probe}

    def kld_of(self, names: Collection[str]) -> tuple[float, bool] | None:
        """The KLD of tensors at the probe's type, and whether it is a sum of singles; None if unknown."""
        whole = self._of_probe.get(frozenset(names))
        if whole is not None:
            return whole.kld, False
        parts = [self._of_probe.get(frozenset((name,))) for name in names]
        known = [part.kld for part in parts if part is not None]
        return (sum(known), True) if known and len(known) == len(parts) else None

    def kld_se_of(self, names: Collection[str]) -> float | None:
        """The standard error of what `kld_of` gives; of a sum, that of independent parts."""
        whole = self._of_probe.get(frozenset(names))
        parts = [whole] if whole is not None else [self._of_probe.get(frozenset((name,))) for name in names]
        known = [part.kld_se for part in parts if part is not None]
        return math.sqrt(sum(se * se for se in known)) if known and len(known) == len(parts) else None

    @cached_property
    def once_quantized(self) -> TensorType | None:
        """The type of fewest bits that loses nothing of most tensors: weights already lie on its grid.

        Then the model was made from a file quantized to it, and is not the unquantized one. None elsewhere.
        """
        exact: dict[TensorType, int] = {}
        for output in filter(None, map(output_of, self.tensors.values())):
            for kind, error in output.errors.items():
                if kind.bits_per_weight < TensorType.Q8_0.bits_per_weight and error <= _EXACT * output.power:
                    exact[kind] = exact.get(kind, 0) + 1
        most = [kind for kind, count in exact.items() if count > len(self.tensors) / 2]
        return min(most, key=lambda kind: kind.bits_per_weight) if most else None

    @cached_property
    def block_scores(self) -> dict[str, dict[int, float]]:
        """How important each block is, by the name of the score and the block: measured, LIM, ZD."""
        found: dict[str, dict[int, float]] = {MEASURED: {}}
        for block in self.blocks:
            names = [name for name in self.tensors if name.startswith(f"blk.{block}.")]
            known = self.kld_of(names)
            if known is not None:
                found[MEASURED][block] = known[0]
        for label, score_of in _BLOCK_SCORES.items():
            scores = {block: score_of(estimate) for block, estimate in self.blocks.items()}
            found[label] = {block: score for block, score in scores.items() if score is not None}
        return {label: scores for label, scores in found.items() if scores}

    @cached_property
    def correlations(self) -> dict[str, float]:
        """Spearman's rank correlation of each cheap score with what was measured, by the score's name.

        Blocks are ranked by LIM and ZD, tensors by their weighted error, where at least four were measured.
        """
        found: dict[str, float] = {}
        scores = dict(self.block_scores)
        of_block = scores.pop(MEASURED, {})
        for label, of_score in scores.items():
            _correlate(found, label, [(score, of_block.get(block)) for block, score in of_score.items()])
        pairs = []
        for name in self.tensors:
            known, error = self.kld_of([name]), self.error_of(name)
            if known is not None and error is not None:
                pairs.append((error, known[0]))
        _correlate(found, "weighted error", pairs)
        return found

    def error_of(self, name: str) -> float | None:
        """The estimated error of a tensor's output at the probe's type, as a share of the output."""
        output = output_of(self.tensors[name]) if name in self.tensors else None
        score = self._of_probe.get(frozenset((name,)))
        kind = score.type if score else self.probe or TensorType.Q4_0
        error = output.errors.get(kind) if output else None
        return error / output.power if output and error is not None and output.power else None


MEASURED = "measured"
# The fewer weights of a block stand out, the more it matters: "the smaller the better", arXiv 2406.17415.
_BLOCK_SCORES: dict[str, Callable[[BlockEstimate], float | None]] = {
    "LIM": lambda block: block.lim,
    "ZD": lambda block: -block.zd,
    "ZD two-sided": lambda block: -block.zd_two_sided,
}
_FEWEST_RANKED = 4
_EXACT = 1e-6
"""An error below this share of the output is the rounding of F16, not of a type."""


def _correlate(found: dict[str, float], label: str, pairs: Iterable[tuple[float, float | None]]) -> None:
    from lqtui.measure.importance import rank_correlation  # NumPy comes with it, which takes a moment to load

    known = [(score, kld) for score, kld in pairs if kld is not None]
    if len(known) >= _FEWEST_RANKED:
        rho = float(rank_correlation(*zip(*known, strict=True)))
        if math.isfinite(rho):
            found[label] = rho


def output_of(estimate: TensorEstimate) -> OutputErrors | None:
    """A tensor's output errors as the solver takes them: tied embeddings count as the head that they are."""
    output = estimate.product or estimate.lookup
    return OutputErrors(output.errors, output.power) if output else None
