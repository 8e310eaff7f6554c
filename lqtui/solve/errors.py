"""What the solver refuses, in sentences for the person who asked."""

from __future__ import annotations

_MIB = 1 << 20


class SolveError(ValueError):
    """A question without an answer; the message is one clear sentence."""


class BudgetError(SolveError):
    """A budget that no recipe has: below the smallest one, or above the largest."""

    def __init__(self, budget_bytes: int, smallest_bytes: int, largest_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.smallest_bytes = smallest_bytes
        self.largest_bytes = largest_bytes
        if budget_bytes < smallest_bytes:
            nearest = f"less than the smallest recipe takes; choose at least {_size(smallest_bytes)}"
        else:
            nearest = f"more than the largest recipe takes; choose at most {_size(largest_bytes)}"
        super().__init__(f"a budget of {_size(budget_bytes)} is {nearest}")


def _size(count: int) -> str:
    """To the byte, because a rounded limit would be refused again."""
    return f"{count:,} bytes ({count / _MIB:.1f} MiB)"
