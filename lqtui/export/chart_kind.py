"""The charts of a report by name."""

from __future__ import annotations

from enum import StrEnum


class ChartKind(StrEnum):
    """A chart of the report: recipes by size and one quality, or what is known along the depth."""

    KLD = "kld"
    PERPLEXITY = "ppl"
    SAME_TOP = "top1"
    SPEED = "speed"
    DEPTH = "depth"
    LOWERING = "lowering"
