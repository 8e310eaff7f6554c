"""What recipes are judged by: the chart's upright axis, and the columns that find room first."""

from __future__ import annotations

from enum import StrEnum


class Metric(StrEnum):
    """KL divergence from the base model, perplexity, or the speed of generation."""

    KLD = "KLD"
    PPL = "PPL"
    SPEED = "tok/s"

    @property
    def next(self) -> Metric:
        """The one that follows; after the last the first."""
        metrics = list(Metric)
        return metrics[(metrics.index(self) + 1) % len(metrics)]

    @property
    def more_is_better(self) -> bool:
        """Whether the better recipe has more of it."""
        return self is Metric.SPEED

    @property
    def described(self) -> str:
        """Its name, its unit, and which way is better."""
        return {
            Metric.KLD: "KLD in nats, lower is better",
            Metric.PPL: "PPL, lower is better",
            Metric.SPEED: "generated tok/s, higher is better",
        }[self]
