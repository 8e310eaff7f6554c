"""A comparison of two recipes, in words."""

from __future__ import annotations

import math

from lqtui.measure.paired import Comparison, Verdict
from lqtui.measure.sequential import Look


def verdict_sentence(recipe: str, other: str, found: Comparison | Look, confidence: float) -> str:
    """Which of two recipes is better, or what it would take to tell."""
    difference = found.difference if isinstance(found, Look) else found.kld or found.nll
    sure = f"with {100 * confidence:g} % confidence"
    if math.isnan(difference.value):
        return f"{recipe} and {other} cannot be compared: one of them breaks the model."
    if found.verdict is not Verdict.CANNOT_TELL:
        return f"{recipe} is {found.verdict} than {other}, {sure}, by {found.decided_on}."
    more = "and it would take very many more"
    if found.chunks_to_go is not None:
        more = f"and it would take about {found.chunks_to_go} more"
    elif found.chunks < 2:
        more = "and it takes some chunks to know their spread"
    chunks = f"{found.chunks} chunk{'s' if found.chunks > 1 else ''}"
    return f"Whether {recipe} or {other} is better cannot be told {sure} on {chunks}, {more}."
