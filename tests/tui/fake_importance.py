"""What a workbench without an engine knows of which layers deserve the bits: scripted scores, real units."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.recipe.units import singles, units
from lqtui.solve.constraints import Constraints
from lqtui.store.estimates import BlockEstimate, OutputError, TensorEstimate
from lqtui.workbench import (
    PROBE,
    Change,
    FrontierPoint,
    ImportanceView,
    Job,
    Lowered,
    OpenModel,
    Score,
    Target,
    Why,
    WorkbenchError,
)


def single_cost(name: str, tensor_type: TensorType = PROBE) -> float:
    """A KLD in nats that differs from tensor to tensor, and halves with each bit."""
    spread = 1 + sum(map(ord, name)) % 97
    return 1e-4 * spread * 2.0 ** (4.5 - tensor_type.bits_per_weight)


def measured_scores(shape: ModelShape, by: Granularity, tensor_type: TensorType = PROBE) -> tuple[Score, ...]:
    """Every unit of a model measured alone on one chunk."""
    found = []
    for single in singles(shape, units(shape, by), tensor_type):
        kld = sum(single_cost(name, tensor_type) for name in single.unit.names)
        found.append(Score(single.unit, tensor_type, tensor_type, kld, kld / 20, kld / 2, kld / 10, 1))
    return tuple(found)


def estimated(shape: ModelShape) -> tuple[Mapping[str, TensorEstimate], Mapping[int, BlockEstimate]]:
    """Estimates of every tensor and block."""
    tensors = {
        tensor.name: TensorEstimate(
            tensor.name,
            OutputError({PROBE: single_cost(tensor.name) ** 0.5}, power=10.0),
            None,
            0.1,
            0.0,
        )
        for tensor in quantizable_tensors(shape)
    }
    blocks = {
        block: BlockEstimate(block, -0.9 - 0.09 * math.sin(block), 0.15 + block / 1000, 0.3 + block / 1000)
        for block in range(shape.block_count)
    }
    return tensors, blocks


def frontier_of(shape: ModelShape) -> tuple[FrontierPoint, ...]:
    """Eleven recipes from small to large; the third is the knee, every fifth is measured."""
    names = [tensor.name for tensor in quantizable_tensors(shape)]
    points = []
    for step in range(11):
        split = len(names) * step // 10
        types = {n: TensorType.Q8_0 if i < split else PROBE for i, n in enumerate(names)}
        plan = resolve(shape, with_types(shape, f"frontier-{step}", types))
        kld = sum(single_cost(name, each) for name, each in types.items())
        measured = 1.03 * kld if step % 5 == 0 else None
        points.append(FrontierPoint(plan, kld, measured, measured and measured / 40, step == 2))
    return tuple(points)


class FakeImportance:
    """Holds what a test says is known, and notes what it was asked to find out."""

    model: OpenModel | None
    plan: Plan | None
    importance = ImportanceView()
    frontier: tuple[FrontierPoint, ...] = ()
    reasons: Mapping[str, str] = {}
    market = ""
    lowered: Mapping[TensorType, Lowered] = {}
    costs_known = False
    mixes_counted = 0
    recalls = 0
    asked: tuple[object, ...] = ()
    _start: Callable[[str, str], Job]
    tell: Callable[[Change], None]
    use: Callable[[Recipe, str], None]

    def learn(self, **known: object) -> None:
        """Let more be known of what matters."""
        self.importance = ImportanceView(
            **{
                "scores": self.importance.scores,
                "tensors": self.importance.tensors,
                "blocks": self.importance.blocks,
                **known,
            }
        )
        self.tell(Change.IMPORTANCE)

    def prediction(self, plan: Plan) -> float | None:
        if not self.costs_known:
            return None
        changed = (p for p in plan.tensors if p.effective is not p.tensor.type)
        return sum(single_cost(p.name, p.effective) for p in changed)

    def predicted_by_tensor(self, plan: Plan) -> Mapping[str, float]:
        changed = (p for p in plan.tensors if p.effective is not p.tensor.type)
        return {p.name: single_cost(p.name, p.effective) for p in changed} if self.costs_known else {}

    def recall_importance(self) -> None:
        self.recalls += 1

    def why(self, tensors: Sequence[str]) -> Why:
        of = {name: self.reasons[name] for name in tensors if name in self.reasons}
        return Why(of, self.market if len(of) > 1 else "")

    def measure_lowering(self, to: TensorType) -> Job:
        if to is TensorType.Q3_K:
            raise WorkbenchError("there is nothing to lower to Q3_K")
        self.asked = ("lowering", to)
        return self._start(f"lower blocks to {to} one by one", "lowering")

    def estimate_importance(self) -> Job:
        self.asked = ("estimate",)
        return self._start("estimate importance", "estimate")

    def measure_sensitivity(self, by: Granularity, types: Sequence[TensorType], chunks: int = 1) -> Job:
        self.asked = (by, tuple(types), chunks)
        return self._start(f"measure each {by} alone", "sensitivity")

    def target_of_size(self, file_bytes: int) -> Target:
        return Target(file_bytes, f"{file_bytes / 2**20:.4g} MiB")

    def target_of_bpw(self, bpw: float) -> Target:
        assert self.model is not None
        return Target(int(bpw * self.model.shape.n_weights / 8), f"{bpw:g} bpw")

    async def target_of_memory(self, budget: int, *, vram: bool) -> Target:
        if budget < 1 << 28:
            raise WorkbenchError("a context of 4096 tokens alone takes 256 MiB of VRAM")
        return Target(budget - (1 << 28), f"{budget / 2**30:.4g} GiB {'VRAM' if vram else 'RAM'}")

    def smallest_and_largest(self, types: Sequence[TensorType]) -> tuple[int, int]:
        assert self.model is not None
        bits = [each.bits_per_weight for each in types]
        return tuple(int(self.model.shape.n_weights * each / 8) for each in (min(bits), max(bits)))  # type: ignore[return-value]

    def fit_recipe(
        self,
        target: Target,
        types: Sequence[TensorType],
        by: Granularity = Granularity.TENSOR,
        constraints: Constraints | None = None,
    ) -> Job:
        smallest, _ = self.smallest_and_largest(types)
        if target.file_bytes < smallest:
            raise WorkbenchError(f"{target.label}: choose at least {smallest:,} bytes")
        self.asked = (target, tuple(types), by, constraints)
        return self._start(f"fit {target.label}", "fit")

    def find_frontier(
        self,
        types: Sequence[TensorType],
        by: Granularity = Granularity.TENSOR,
        constraints: Constraints | None = None,
    ) -> Job:
        self.asked = (tuple(types), by)
        return self._start("find the frontier", "frontier")
