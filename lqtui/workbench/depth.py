"""Scores along the depth of a model: one number a block, of the whole block or of one role's tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.workbench.scores import MEASURED, ImportanceView

WHOLE = "whole blocks"
KLD, WEIGHTED_ERROR = "KLD", "weighted error"


@dataclass(frozen=True)
class BlockScore:
    """A block's score: a sum of its tensors' scores, each alone, or of the block as one.

    `se` is a standard error, None where nothing was measured.
    """

    block: int
    value: float
    se: float | None = None
    is_sum: bool = False


@dataclass(frozen=True)
class DepthScores:
    """One kind of score along the depth; the higher, the more a block matters.

    `name` is KLD in nats, which is measured, or that of an estimate, which has no scale in common with it.
    `part` is the role that is told of, or `WHOLE`. `probe` is the type to which each was lowered.
    """

    name: str
    part: str
    probe: TensorType | None
    blocks: tuple[BlockScore, ...]

    @property
    def is_estimate(self) -> bool:
        """Whether nothing was measured for it."""
        return self.name != KLD

    @property
    def is_sum(self) -> bool:
        """Whether some of it are sums of tensors' scores, which leave out how tensors act together."""
        return any(score.is_sum for score in self.blocks)

    @property
    def described(self) -> str:
        """What it is, in a few words; estimates say so."""
        at = f" at {self.probe}" if self.probe is not None else ""
        if not self.is_estimate:
            how = "each tensor alone, summed" if self.is_sum else "each alone"
            return f"KLD measured{at}, nats, {how}"
        return f"estimate: {self.name}{at}"


def depth_scores(view: ImportanceView, shape: ModelShape) -> tuple[DepthScores, ...]:
    """All that is known along the depth, measurements first, whole blocks before the roles in them.

    What is no number, of a model that breaks, is left out.
    """
    of_blocks: dict[int, list[str]] = {}
    of_roles: dict[str, dict[int, list[str]]] = {}
    for tensor in quantizable_tensors(shape):
        if tensor.block is not None:
            of_blocks.setdefault(tensor.block, []).append(tensor.name)
            of_roles.setdefault(tensor.role, {}).setdefault(tensor.block, []).append(tensor.name)
    parts = {WHOLE: of_blocks, **of_roles}
    found = [_measured(view, part, names) for part, names in parts.items()]
    found += [_weighted_errors(view, part, names) for part, names in parts.items()]
    for name, scores in view.block_scores.items():
        if name != MEASURED:
            known = [(block, value) for block, value in sorted(scores.items()) if math.isfinite(value)]
            blocks = tuple(BlockScore(block, value) for block, value in known)
            found.append(DepthScores(f"−{name}" if name.startswith("ZD") else name, WHOLE, None, blocks))
    return tuple(scores for scores in found if len(scores.blocks) > 1)


def _measured(view: ImportanceView, part: str, names: dict[int, list[str]]) -> DepthScores:
    blocks = []
    for block, of_block in sorted(names.items()):
        known = view.kld_of(of_block)
        if known is not None and math.isfinite(known[0]):
            se = view.kld_se_of(of_block)
            is_told = se is not None and math.isfinite(se)
            blocks.append(BlockScore(block, known[0], se if is_told else None, known[1]))
    return DepthScores(KLD, part, view.probe, tuple(blocks))


def _weighted_errors(view: ImportanceView, part: str, names: dict[int, list[str]]) -> DepthScores:
    """The estimated errors of tensors' outputs, of several in a block their mean."""
    blocks = []
    for block, of_block in sorted(names.items()):
        known = [error for name in of_block if (error := view.error_of(name)) is not None]
        if known and math.isfinite(sum(known)):
            blocks.append(BlockScore(block, sum(known) / len(known)))
    return DepthScores(WEIGHTED_ERROR, part, view.probe or TensorType.Q4_0, tuple(blocks))
