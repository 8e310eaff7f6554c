"""The one place that knows HiGHS: the choices that are left open, as a mixed-integer program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import highspy
import numpy as np

_SCALE = 1000.0
"""What a known answer costs in the objective, far above the solver's own tolerances."""
_TOLERANCE = 1e-9
"""How far from whole numbers the solver's answers may be; sizes of up to 1e8 units stay exact to a tenth."""
_INFEASIBLE = (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible)


class Choice(NamedTuple):
    """One choice of an item: its bytes, and its cost in any unit, none negative."""

    bytes: int
    cost: float


@dataclass(frozen=True)
class Optimum:
    """What the solver found: the position of each item's choice, and the bound that it proved."""

    picks: tuple[int, ...] | None
    """None where nothing was found within the budget."""
    bound: float
    """Nothing costs less; infinite where nothing keeps the budget."""


def minimise(
    items: Sequence[Sequence[Choice]],
    budget: int,
    price: float,
    known: float,
    tolerance: float,
    seconds: float,
) -> Optimum:
    """One choice for each item, such that their costs, plus a price for each byte left over, are least.

    Args:
        items: The choices of each item, at least one.
        budget: Bytes that the picks may take in all.
        price: Cost of a byte that is left over.
        known: What a known answer costs, which gives the scale: more than 0.
        tolerance: How far above the least an answer may be.
        seconds: How long to look for it.
    """
    least = [min(choice.bytes for choice in choices) for choices in items]
    extra = [[choice.bytes - few for choice in choices] for choices, few in zip(items, least, strict=True)]
    # All sizes are multiples of some number of bytes; counted in it they are small.
    unit = math.gcd(*(more for sizes in extra for more in sizes)) or 1
    room, rest = divmod(budget - sum(least), unit)
    if room < 0:
        return Optimum(None, math.inf)
    scale = _SCALE / known
    model = _model(
        [len(choices) for choices in items],
        np.array([choice.cost * scale for choices in items for choice in choices]),
        np.array([more // unit for sizes in extra for more in sizes], np.float64),
        room,
        price * unit * scale,
    )
    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # its one method without types
    options: dict[str, bool | int | float | str] = {
        "output_flag": False,
        "threads": 1,  # which gives the same answer every time, and leaves the other cores to the person
        "parallel": "off",
        "time_limit": seconds,
        "mip_allow_restart": False,  # programs this small lose more by it than they gain
        "mip_rel_gap": 0.0,
        "mip_abs_gap": tolerance * scale,
        "mip_feasibility_tolerance": _TOLERANCE,
        "primal_feasibility_tolerance": _TOLERANCE,
        "dual_feasibility_tolerance": _TOLERANCE,
    }
    for name, value in options.items():
        solver.setOptionValue(name, value)
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() in _INFEASIBLE:
        return Optimum(None, math.inf)
    bound = max(0.0, solver.getInfo().mip_dual_bound / scale + price * rest)
    return Optimum(_picks(solver.getSolution().col_value, items, budget), bound)


def _model(
    counts: Sequence[int],
    costs: np.ndarray[tuple[int], np.dtype[np.float64]],
    sizes: np.ndarray[tuple[int], np.dtype[np.float64]],
    room: int,
    price: float,
) -> highspy.HighsLp:
    """A binary column for each choice and one for the units left over.

    The first row adds up the units, each further one an item's choices to 1.
    """
    n = len(costs)
    sized = np.flatnonzero(sizes)
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = n + 1, len(counts) + 1
    model.col_cost_ = np.append(costs, price)
    model.col_lower_ = np.zeros(n + 1)
    model.col_upper_ = np.append(np.ones(n), room)
    model.row_lower_ = model.row_upper_ = np.append([float(room)], np.ones(len(counts)))
    model.integrality_ = [highspy.HighsVarType.kInteger] * (n + 1)
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.cumsum([0, len(sized) + 1, *counts])
    model.a_matrix_.index_ = np.concatenate([sized, [n], np.arange(n)])
    model.a_matrix_.value_ = np.concatenate([sizes[sized], np.ones(n + 1)])
    return model


def _picks(values: Sequence[float], items: Sequence[Sequence[Choice]], budget: int) -> tuple[int, ...] | None:
    """The choices that the columns stand for, once they are proved to keep the budget."""
    if not values:
        return None
    picks, first = [], 0
    for choices in items:
        own = values[first : first + len(choices)]
        picks.append(max(range(len(choices)), key=own.__getitem__))
        first += len(choices)
    size = sum(choices[pick].bytes for choices, pick in zip(items, picks, strict=True))
    return tuple(picks) if size <= budget else None
