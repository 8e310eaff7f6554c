"""How long quality lasts while one block after the other is lowered, in the order of a score.

The experiment of arXiv 2406.17415: blocks are ordered by how little they are thought to matter, and lowered
to fewer bits one after the other; a good score keeps quality up longest. Random orders stand beside it, and
the same blocks pruned instead of lowered.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import Plan, resolve, with_types, without_blocks
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.workbench.values import Result

KEPT = 0.9
"""The share of quality that the paper asks to be kept."""
RANDOM_ORDERS = 3
PRUNED = "pruned"
RANDOM = "random"


@dataclass(frozen=True)
class CurvePoint:
    """So large a share of the blocks is lowered, and so much of the quality is kept.

    Quality is the base model's perplexity over the recipe's: 1 is nothing lost. KLD is in nats. `sd` is the
    deviation between random orders, 0 elsewhere.
    """

    share: float
    kept: float
    kld: float | None
    sd: float = 0.0


@dataclass(frozen=True)
class Curve:
    """What is left of the quality as more blocks are lowered, in the order of one score."""

    label: str
    points: tuple[CurvePoint, ...]

    @property
    def is_pruned(self) -> bool:
        """Whether blocks are left out instead of lowered."""
        return self.label.endswith(PRUNED)

    @property
    def is_random(self) -> bool:
        """Whether it is the mean of random orders."""
        return self.label.startswith(RANDOM)

    @property
    def share_at_kept(self) -> float | None:
        """The share of blocks that can be lowered with `KEPT` of the quality left; None if all of them."""
        for before, after in pairwise(self.points):
            if after.kept < KEPT:
                step = (before.kept - KEPT) / (before.kept - after.kept) if before.kept > KEPT else 0.0
                return before.share + step * (after.share - before.share)
        return None


@dataclass(frozen=True)
class Lowered:
    """The curves of all orders with blocks lowered to one type, as far as they are measured.

    `chunks` of text were asked for; while they are being scored, `is_whole` is false.
    """

    to: TensorType
    chunks: int
    curves: tuple[Curve, ...]
    is_whole: bool


def orders(scores: Mapping[str, Mapping[int, float]], blocks: int, seed: int = 0) -> dict[str, list[int]]:
    """The blocks in the order in which to lower them, the least important first, by the score's name.

    `scores` say how important each block is. Random orders are added, the same ones for the same seed.
    """
    found = {
        label: sorted(range(blocks), key=lambda block: of_block[block])
        for label, of_block in scores.items()
        if len(of_block) == blocks
    }
    for number in range(RANDOM_ORDERS):
        order = list(range(blocks))
        random.Random(seed + number).shuffle(order)
        found[_random(number)] = order
    return found


def counts(blocks: int, steps: int) -> list[int]:
    """How many blocks are lowered at each step, about evenly, up to all of them."""
    return sorted({round(blocks * step / steps) for step in range(1, steps + 1)} - {0})


def lowered_plans(
    shape: ModelShape,
    order: Sequence[int],
    lowered: Sequence[int],
    to: TensorType,
    imatrix: Imatrix | None = None,
) -> list[Plan]:
    """The base model with the first blocks of an order at a type, one plan for each count."""
    plans = []
    for count in lowered:
        chosen = set(order[:count])
        types = {t.name: to if t.block in chosen else t.type for t in quantizable_tensors(shape)}
        plans.append(resolve(shape, with_types(shape, f"{count} blocks at {to}", types, imatrix=imatrix)))
    return plans


def plans_of(
    base: Plan,
    scores: Mapping[str, Mapping[int, float]],
    lowered: Sequence[int],
    to: TensorType,
    imatrix: Imatrix | None = None,
) -> dict[str, list[Plan]]:
    """All recipes of the experiment, by the order; the blocks of the first order are pruned too."""
    by_order = orders(scores, base.shape.block_count)
    plans = {
        label: lowered_plans(base.shape, order, lowered, to, imatrix) for label, order in by_order.items()
    }
    first = next(iter(by_order))
    return plans | {f"{first}, {PRUNED}": pruned_plans(base, by_order[first], lowered)}


def pruned_plans(base: Plan, order: Sequence[int], lowered: Sequence[int]) -> list[Plan]:
    """The base model without the first blocks of an order, one plan for each count but that of all blocks."""
    blocks = base.shape.block_count
    return [without_blocks(base, set(order[:count])) for count in lowered if count < blocks]


def curves(
    measured: Mapping[str, Sequence[Result | None]], lowered: Sequence[int], blocks: int
) -> tuple[Curve, ...]:
    """The curves of what was measured: for each order a result for each count. Random orders become one.

    What is not measured yet has no point. Each result is compared with the base on the chunks that it has.
    """
    found: list[Curve] = []
    at_random: list[Curve] = []
    for label, results in measured.items():
        points = [CurvePoint(0.0, 1.0, 0.0)]
        for count, result in zip(lowered, results, strict=False):
            if result is not None and result.broken:
                points.append(CurvePoint(count / blocks, 0.0, result.kld))
            elif result is not None and result.delta_nll is not None:
                points.append(CurvePoint(count / blocks, math.exp(-result.delta_nll), result.kld))
        (at_random if label.startswith(RANDOM) else found).append(Curve(label, tuple(points)))
    if len(at_random) > 1:
        found.append(_mean(at_random))
    return tuple(found)


def _mean(several: Sequence[Curve]) -> Curve:
    """The mean of curves, at the shares where all have a point."""
    points = []
    by_share = [{point.share: point for point in curve.points} for curve in several]
    for share in by_share[0]:
        group = [of_curve[share] for of_curve in by_share if share in of_curve]
        if len(group) < len(several):
            continue
        klds = [point.kld for point in group if point.kld is not None]
        kept = [point.kept for point in group]
        mean_kld = statistics.fmean(klds) if len(klds) == len(group) else None
        points.append(CurvePoint(share, statistics.fmean(kept), mean_kld, statistics.stdev(kept)))
    return Curve(f"{RANDOM}, mean of {len(several)}", tuple(points))


def _random(number: int) -> str:
    return f"{RANDOM} {number + 1}"
