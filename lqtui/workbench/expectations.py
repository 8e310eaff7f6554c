"""What jobs consist of, as far as can be told before they begin: the stages that an Outlook follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lqtui.recipe.recipe import Plan
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.workbench.outlook import STARTING, Stage
from lqtui.workbench.values import Settings

_SHARED_BY_SINGLES = 0.5
"""What evaluating singles takes of evaluating each whole: half the blocks lie before the one that differs."""
_SHARED_BY_MANY = 0.8
"""The same of recipes that were not made to share anything."""
_ORDERS = 8
"""About so many orders there are of blocks, random ones and those of pruning included."""
_MIB, _BILLION = 1 << 20, 1e9


class Scored(NamedTuple):
    """A plan, and how many chunks of it are to be scored."""

    plan: Plan
    chunks: int


def scoring(shape: ModelShape, settings: Settings, scored: Sequence[Scored]) -> list[Stage]:
    """The stages in which plans are scored side by side, in one process."""
    plans = [of.plan for of in scored]
    chunks = float(sum(of.chunks for of in scored))
    if len(plans) > 2:
        chunks *= _SHARED_BY_SINGLES if _are_singles(plans) else _SHARED_BY_MANY
    return [
        Stage(STARTING, 1),
        Stage("quantizing", _quantized_mib(plans)),
        Stage("loading", _weights(shape)),
        Stage("scoring", chunks * settings.n_ctx * _weights(shape)),
    ]


def timing(shape: ModelShape, settings: Settings, plans: Sequence[Plan], *, alone: bool) -> list[Stage]:
    """The stages in which the speed of each plan is measured; `alone` where none was scored before."""
    runs, weights = settings.repetitions, _weights(shape)
    stages = [Stage(STARTING, 1), Stage("quantizing", _quantized_mib(plans))] if alone and plans else []
    for plan in plans:
        stages += [
            Stage("loading", weights),
            Stage("prompt speed", (runs + 1) * settings.n_prompt * weights),
            Stage("generation speed", runs * settings.n_gen * plan.file_bytes / _BILLION),
        ]
    return stages


def estimating(shape: ModelShape, settings: Settings, types: int) -> list[Stage]:
    """The stages in which errors of tensors are estimated at so many types."""
    return [
        Stage(STARTING, 1),
        Stage("loading", _weights(shape)),
        Stage("activations", settings.n_ctx * _weights(shape)),
        Stage("estimating", types * _weights(shape)),
    ]


def search_after_probes(shape: ModelShape, settings: Settings) -> list[Stage]:
    """The stages of a search whose probes are measured: finer ones, mixes, and the recipe on other text.

    It is taken to need two rounds of three.
    """
    finer, mixes, remeasured = 48, 4 * 4, 16 + 4
    of_each = settings.n_ctx * _weights(shape)
    stages = []
    for chunks in (finer * _SHARED_BY_SINGLES, mixes, remeasured * _SHARED_BY_SINGLES, settings.chunks):
        stages += [
            Stage(STARTING, 1),
            Stage("quantizing", shape.file_bytes / _MIB),
            Stage("loading", _weights(shape)),
            Stage("scoring", chunks * of_each),
        ]
    return stages


def lowering_stages(shape: ModelShape, settings: Settings, steps: int) -> list[Stage]:
    """The stages in which blocks are lowered in so many steps, in the order of each score."""
    scored = steps * _ORDERS * settings.chunks * _SHARED_BY_MANY
    return [
        Stage(STARTING, 1),
        Stage("quantizing", shape.file_bytes / _MIB),
        Stage("loading", _weights(shape)),
        Stage("scoring", scored * settings.n_ctx * _weights(shape)),
    ]


def writing(shape: ModelShape) -> list[Stage]:
    """The stages in which a quantized model is written."""
    return [Stage(STARTING, 1), Stage("writing", shape.file_bytes / _MIB)]


def importances(shape: ModelShape, n_ctx: int, chunks: int) -> list[Stage]:
    """The stages in which an importance matrix is computed."""
    return [
        Stage(STARTING, 1),
        Stage("loading", _weights(shape)),
        Stage("importances", chunks * n_ctx * _weights(shape)),
    ]


def _weights(shape: ModelShape) -> float:
    return shape.n_weights / _BILLION


def _are_singles(plans: Sequence[Plan]) -> bool:
    """Whether most plans differ from the base model in a few tensors alone."""
    few = max(1, len(plans[0].tensors) // 8)
    changed = [sum(each.effective is not each.tensor.type for each in plan.tensors) for plan in plans]
    return sum(0 < count <= few for count in changed) > len(plans) / 2


def _quantized_mib(plans: Sequence[Plan]) -> float:
    """MiB of the base model's tensors that are written otherwise, once for each encoding."""
    if not plans:
        return 0.0
    own = {tensor.name: tensor for tensor in quantizable_tensors(plans[0].shape)}
    wanted = {
        (name, encoding)
        for plan in plans
        for name, encoding in plan.encodings.items()
        if name in own and encoding.type is not own[name].type
    }
    return sum(own[name].bytes_as(own[name].type) for name, _ in wanted) / _MIB
