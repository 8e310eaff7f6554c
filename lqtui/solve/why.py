"""Why a tensor has its type: what its upgrade would save per MiB, beside what the budget's last MiB saved."""

from __future__ import annotations

from dataclasses import dataclass

from lqtui.recipe.types import TensorType
from lqtui.solve.items import Item, Option
from lqtui.solve.knapsack import Solution
from lqtui.solve.relaxation import undominated

_MIB = 1 << 20


@dataclass(frozen=True)
class Upgrade:
    """A change of one item to a larger type, by itself."""

    before: TensorType
    after: TensorType
    bytes: int
    saved: float
    """Nats that the larger type costs less."""

    @property
    def per_mib(self) -> float:
        """Nats saved per MiB."""
        return self.saved / self.bytes * _MIB


@dataclass(frozen=True)
class Reason:
    """Why an item has its type, in numbers."""

    item: Item
    chosen: TensorType
    made: Upgrade | None
    """The upgrade to the chosen type that saved the least per MiB; None where no type is smaller."""
    refused: Upgrade | None
    """The upgrade from the chosen type that would save the most per MiB; None where none saves anything."""
    price_per_mib: float
    """Nats that the last MiB of the budget buys: its exchange rate."""
    spare_bytes: int
    """What is left of the budget."""
    spends: bool
    """Whether the budget pays for anything beyond the smallest recipe."""

    @property
    def has_choice(self) -> bool:
        """Whether there is another type that any budget would pay for."""
        return self.made is not None or self.refused is not None


def why(item: Item, solution: Solution) -> Reason:
    """What decided an item's type in a solution.

    At the budget's price an upgrade is made where it saves more per MiB than the last MiB of the budget, and
    refused where it saves less. Where sizes do not add up to the budget, the best recipe departs from that
    for a few items, which shows in the numbers.
    """
    chosen = solution.option_of(item)
    smaller = [option for option in undominated(item.options) if option.bytes < chosen.bytes]
    made = [_upgrade(option, chosen) for option in smaller]
    refused = [_upgrade(chosen, option) for option in item.options if option.bytes > chosen.bytes]
    return Reason(
        item,
        chosen.type,
        min(made, key=_per_mib, default=None),
        max((upgrade for upgrade in refused if upgrade.saved > 0), key=_per_mib, default=None),
        solution.price * _MIB,
        solution.budget_bytes - solution.bytes,
        solution.bytes > solution.problem.smallest_bytes,
    )


def sentence(reason: Reason, *, alone: bool = True) -> str:
    """A reason in words, with sizes in MiB and costs in nats of KLD.

    One that does not stand `alone` leaves out what `market` tells of all items at once.
    """
    if not reason.has_choice:
        return f"{reason.chosen} is the only type here that any budget would pay for."
    parts = []
    if reason.made is not None:
        parts.append(
            f"{_change(reason.made)} costs {_mib(reason.made.bytes)} and saves {_saving(reason.made)}"
        )
    if reason.refused is not None:
        cost, saving = _mib(reason.refused.bytes), _saving(reason.refused)
        parts.append(f"{_change(reason.refused)} would cost {cost} and save {saving}")
    exception = _exception(reason)
    if not alone:
        return f"{', but '.join(filter(None, ('; '.join(parts), exception)))}."
    last = ", but ".join(filter(None, (_market(reason), exception)))
    return f"{'; '.join([*parts, last])}."


def market(reason: Reason) -> str:
    """The budget's exchange rate, which is the same for all items of a solution, as a sentence."""
    said = _market(reason)
    return f"{said[0].upper()}{said[1:]}."


def _market(reason: Reason) -> str:
    price = reason.price_per_mib
    if not reason.spends:
        return f"this budget pays for no upgrade, and the best one saves {_number(price)} KLD per MiB"
    if not price:
        return "this budget pays for every upgrade that saves anything"
    return f"the last MiB of this budget went for {_number(price)} KLD"


def _exception(reason: Reason) -> str:
    """Why an item departs from the exchange rate, where it does."""
    price = reason.price_per_mib
    if not reason.spends or not price:
        return ""
    if reason.refused is not None and reason.refused.per_mib > price:
        return f"there is no room for it ({_mib(reason.spare_bytes)} is left)"
    if reason.made is not None and reason.made.per_mib < price:
        return "no better upgrade is small enough"
    return ""


def _upgrade(before: Option, after: Option) -> Upgrade:
    return Upgrade(before.type, after.type, after.bytes - before.bytes, before.cost - after.cost)


def _per_mib(upgrade: Upgrade) -> float:
    return upgrade.per_mib


def _change(upgrade: Upgrade) -> str:
    return f"{upgrade.before} → {upgrade.after}"


def _saving(upgrade: Upgrade) -> str:
    return f"{_number(upgrade.saved)} KLD ({_number(upgrade.per_mib)} per MiB)"


def _mib(count: int) -> str:
    return f"{_number(count / _MIB) if count < _MIB // 10 else f'{count / _MIB:.2f}'} MiB"


def _number(value: float) -> str:
    """Two digits that say something."""
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"
