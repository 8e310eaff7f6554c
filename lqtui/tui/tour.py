"""Five hints for a newcomer, one at a time, each until it was followed."""

from __future__ import annotations

from typing import NamedTuple


class Hint(NamedTuple):
    """What it is about, and what it says; keys are named by their commands, in braces."""

    name: str
    text: str


HINTS = (
    Hint("toggle", "{type.q4} makes this block Q4_0, {type.q8} Q8_0; {type.cycle} cycles. Watch the size."),
    Hint("range", "{grid.range} starts a range, {grid.all} takes all blocks; a type then sets them all."),
    Hint("measure", "{run.measure} measures this recipe in the background: KLD, perplexity, speed."),
    Hint("chart", "{pane.budget} goes to the chart: left is smaller, low is better; arrows walk."),
    Hint("export", "{recipe.export} shows the llama-quantize script that makes this very file."),
)


def next_hint(followed: tuple[str, ...]) -> tuple[int, Hint] | None:
    """The first hint that was not followed and which one of them it is, from 1; None after the last."""
    left = [(number, hint) for number, hint in enumerate(HINTS, 1) if hint.name not in followed]
    return left[0] if left else None
