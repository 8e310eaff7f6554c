"""What each tensor alone costs at each type: measured where it was, else scaled from what was measured.

Measured on models of 9 and 135 million weights, the KLD of a tensor alone grows with the error of its output
as types change: from one type that was measured, others follow within about 15 % at no bias. The output's
error has two parts: that of the weights, which is estimated for each type, and that of the activations, which
llama.cpp rounds to 8 bits before it multiplies by quantized weights. The second shows at Q6_K and Q8_0 alone.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lqtui.recipe.types import TensorType

ROUNDING = 5e-5
"""Where it cannot be told from measurements: the error of rounded activations, as a share of the output."""


class OutputErrors(NamedTuple):
    """Mean squared errors of a tensor's output by type, and the output's own mean square."""

    errors: Mapping[TensorType, float]
    power: float

    def at(self, type_: TensorType, rounding: float) -> float | None:
        """The error of weights and rounded activations at a type; None where it was not estimated."""
        error = self.errors.get(type_)
        if error is None:
            return None
        return error + rounding * self.power if type_.is_quantized else error


@dataclass(frozen=True)
class CostTable:
    """The KLD of each tensor alone, in nats, by name and effective type; `measured` tells which are that."""

    costs: Mapping[str, Mapping[TensorType, float]]
    measured: frozenset[tuple[str, TensorType]]
    rounding: float

    def total(self, types: Mapping[str, TensorType]) -> float | None:
        """The sum over tensors at other types than the base model's; None where one is not known."""
        total = 0.0
        for name, type_ in types.items():
            cost = self.costs.get(name, {}).get(type_)
            if cost is None:
                return None
            total += cost
        return total


def cost_table(
    measured: Mapping[str, Mapping[TensorType, float]], estimated: Mapping[str, OutputErrors]
) -> CostTable:
    """What every tensor costs at every type that was estimated of it or measured.

    A tensor of which nothing was measured is scaled as the tensors of its role are, in the median, and else
    as all tensors are. Where nothing at all was measured there are no costs.

    Args:
        measured: KLD in nats of a tensor alone, by name and effective type; infinite where that type breaks
            the model.
        estimated: By name.
    """
    rounding = _rounding(measured, estimated)
    scales = {
        name: scale
        for name, of_types in measured.items()
        if (scale := _scale(of_types, estimated.get(name), rounding)) is not None
    }
    costs: dict[str, dict[TensorType, float]] = {}
    for name, output in estimated.items():
        scale = scales.get(name, _usual(name, scales))
        if scale is not None:
            costs[name] = {
                type_: scale * error
                for type_ in output.errors
                if (error := output.at(type_, rounding)) is not None
            }
    for name, of_types in measured.items():
        costs.setdefault(name, {}).update(of_types)
    known = frozenset((name, type_) for name, of_types in measured.items() for type_ in of_types)
    return CostTable(costs, known, rounding)


def shared_out(
    kld: float, types: Mapping[str, TensorType], estimated: Mapping[str, OutputErrors]
) -> dict[str, float]:
    """The KLD of tensors lowered together as a sum, each in proportion to its error as a share of its output.

    `types` are the effective types of those tensors, by name.
    """
    shares = {}
    for name, type_ in types.items():
        output = estimated.get(name)
        error = output.at(type_, ROUNDING) if output else None
        shares[name] = error / output.power if output and error and output.power else 0.0
    whole = sum(shares.values())
    return {name: kld * (share / whole if whole else 1 / len(shares)) for name, share in shares.items()}


def _scale(
    of_types: Mapping[TensorType, float], output: OutputErrors | None, rounding: float
) -> float | None:
    """Nats for each unit of error, by the type whose error is largest: the floor hides least of it."""
    if output is None:
        return None
    known = [
        (error, kld)
        for type_, kld in of_types.items()
        if math.isfinite(kld) and (error := output.at(type_, rounding))
    ]
    if not known:
        return None
    error, kld = max(known)
    return kld / error


def _usual(name: str, scales: Mapping[str, float]) -> float | None:
    alike = [scale for other, scale in scales.items() if _role(other) == _role(name)]
    return statistics.median(alike or scales.values()) if scales else None


def _role(name: str) -> str:
    return name.split(".", 2)[2] if name.startswith("blk.") else name


def _rounding(
    measured: Mapping[str, Mapping[TensorType, float]], estimated: Mapping[str, OutputErrors]
) -> float:
    """The share at which tensors measured at Q8_0 and at a coarser type agree, in the median."""
    found = []
    for name, of_types in measured.items():
        output = estimated.get(name)
        fine = of_types.get(TensorType.Q8_0)
        coarse = [t for t in of_types if t.bits_per_weight < TensorType.Q6_K.bits_per_weight]
        if output is None or not fine or not coarse or TensorType.Q8_0 not in output.errors:
            continue
        if not all(map(math.isfinite, of_types.values())):
            continue
        type_ = min(coarse, key=lambda t: t.bits_per_weight)
        ratio, error = fine / of_types[type_] if of_types[type_] else 1.0, output.errors.get(type_)
        if error and ratio < 1 and output.power:
            share = (ratio * error - output.errors[TensorType.Q8_0]) / (output.power * (1 - ratio))
            found.append(max(0.0, share))
    return statistics.median(found) if found else ROUNDING
