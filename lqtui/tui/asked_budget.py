"""What a person types for a budget: a file's size, its bits per weight, or memory to run it in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

EXAMPLES = "400MiB, 4.5bpw or 6GiB vram"
_MOST = 1e15
_UNITS = {
    "": 1 << 20,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "b": 1,
    "bytes": 1,
}
_SHAPE = re.compile(r"(?P<number>[\d.,_ ]*\d\.?)\s*(?P<unit>[a-z]*?)\s*(?P<where>vram|ram)?", re.IGNORECASE)


class Budgeted(Enum):
    """What a budget is of."""

    FILE = auto()
    BITS = auto()
    VRAM = auto()
    RAM = auto()


@dataclass(frozen=True)
class AskedBudget:
    """A budget: bytes, or bits per weight where it is of `BITS`."""

    of: Budgeted
    amount: float


def parse_budget(text: str) -> AskedBudget:
    """The budget that a person typed; a number alone is MiB. Raises ValueError with a sentence."""
    typed = text.strip()
    if not typed:
        raise ValueError(f"Type a budget, such as {EXAMPLES}.")
    found = _SHAPE.fullmatch(typed)
    if found is None:
        raise ValueError(f"{typed!r} is not a budget: type one such as {EXAMPLES}.")
    number, unit, where = (
        _number(found["number"], typed),
        found["unit"].lower(),
        (found["where"] or "").upper(),
    )
    if unit == "bpw":
        if where:
            raise ValueError(f"{typed!r} mixes bits per weight with memory: type one such as {EXAMPLES}.")
        return AskedBudget(Budgeted.BITS, number)
    if unit not in _UNITS:
        raise ValueError(f"{found['unit']!r} is not a unit of size: type MiB, GiB, MB, GB or bpw.")
    return AskedBudget(Budgeted[where] if where else Budgeted.FILE, number * _UNITS[unit])


def _number(text: str, typed: str) -> float:
    """A number above zero; commas may part thousands, as sizes are shown."""
    if "," in text and not re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d*)?", text):
        raise ValueError(f"{typed!r} has a comma where no thousands end: write decimals with a point.")
    try:
        number = float(text.replace(",", "").replace(" ", ""))
    except ValueError:
        raise ValueError(f"{typed!r} has no number that can be read: type one such as {EXAMPLES}.") from None
    if not number > 0:
        raise ValueError(f"{typed!r} is nothing: a budget is more than 0.")
    if number > _MOST:
        raise ValueError(f"{typed[:12]!r} … is not a size that a file can have.")
    return number
