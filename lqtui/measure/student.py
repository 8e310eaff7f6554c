"""Student's t distribution of a whole number of degrees of freedom, in closed form."""

from __future__ import annotations

import functools
import math

import numpy as np


def central_probability(t: float, dof: int) -> float:
    """P(|T| ≤ t) for t ≥ 0 and one or more degrees of freedom.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4.
    """
    return _within_angle(math.atan(t / math.sqrt(dof)), dof)


@functools.lru_cache(4096)
def quantile(confidence: float, dof: int) -> float:
    """The t with P(|T| ≤ t) = confidence, for a confidence of 0 to 1, both excluded."""
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _within_angle(middle, dof) < confidence else (low, middle)
    return math.tan(low) * math.sqrt(dof)


def _within_angle(angle: float, dof: int) -> float:
    """`central_probability` of √dof · tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    if dof == 1:
        return 2 * angle / math.pi
    if dof % 2:
        steps = 2 * np.arange(1, (dof - 1) // 2)
        series = cosine * (1 + np.cumprod(steps / (steps + 1) * cosine**2).sum())
        return float(2 / math.pi * (angle + sine * series))
    steps = 2 * np.arange(1, dof // 2)
    return float(sine * (1 + np.cumprod((steps - 1) / steps * cosine**2).sum()))
