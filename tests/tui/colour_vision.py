"""How colours look to people with dichromatic vision, how far apart they are, and how legible.

Sources: G. Machado, M. Oliveira, L. Fernandes, A Physiologically-based Model for Simulation of Color Vision
Deficiency, IEEE TVCG 15(6), 2009, table of matrices for severity 1.0, on linear RGB; CIE 1976 L*a*b* with
D65 for distances; WCAG 2.1 for contrast.
"""

from __future__ import annotations

from math import dist

import numpy as np
from textual.color import Color

VISIONS = {
    "full": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
"""What full vision sees, and what three sorts of dichromats do."""

_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _TO_XYZ @ np.ones(3)


def linear(color: Color) -> np.ndarray:
    """A colour in linear RGB."""
    values = np.array(color.normalized)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def seen(color: Color, vision: str) -> np.ndarray:
    """A colour in linear RGB as it is seen."""
    return np.clip(VISIONS[vision] @ linear(color), 0.0, 1.0)


def lab(rgb: np.ndarray) -> tuple[float, ...]:
    """CIE L*a*b* of linear RGB."""
    ratio = (_TO_XYZ @ rgb) / _WHITE
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def apart(one: Color, other: Color, vision: str) -> float:
    """How far apart two colours look: below about 10 they are hard to tell from memory."""
    return dist(lab(seen(one, vision)), lab(seen(other, vision)))


def contrast(ink: Color, behind: Color, vision: str) -> float:
    """The contrast ratio of letters, from 1 to 21."""
    low, high = sorted(float(_TO_XYZ[1] @ seen(color, vision)) for color in (ink, behind))
    return (high + 0.05) / (low + 0.05)
