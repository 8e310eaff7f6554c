"""What recipes are judged by: the chart's upright axis, and the columns that find room first."""

from __future__ import annotations

from enum import StrEnum


class Metric(StrEnum):
    """KL divergence from the base, perplexity, the speed of generation, or how often the top token stays."""

    KLD = "KLD"
    PPL = "PPL"
    SPEED = "tok/s"
    TOP1 = "top-1"

    @property
    def next(self) -> Metric:
        """The one that follows; after the last the first."""
        metrics = list(Metric)
        return metrics[(metrics.index(self) + 1) % len(metrics)]

    @property
    def more_is_better(self) -> bool:
        """Whether the better recipe has more of it."""
        return self in (Metric.SPEED, Metric.TOP1)

    @property
    def described(self) -> str:
        """Its name, its unit, and which way is better."""
        return {
            Metric.KLD: "KLD in nats, lower is better",
            Metric.PPL: "PPL, lower is better",
            Metric.SPEED: "generated tok/s, higher is better",
            Metric.TOP1: "same top token in %, higher is better",
        }[self]
