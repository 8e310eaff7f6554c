"""Numbers with their errors: no digit is shown that the error makes meaningless."""

from __future__ import annotations

import math

_TWO_DIGITS_BELOW = 3.55
_SMALL = 1e-4


def decimals_of(error: float) -> int:
    """How many decimals a number with this error has; negative where even its ones mean nothing.

    The error keeps two digits up to 35 and one digit above that, as the Particle Data Group rounds.
    """
    exponent = math.floor(math.log10(error))
    digits = 2 if error / 10.0**exponent < _TWO_DIGITS_BELOW else 1
    return digits - 1 - exponent


def rounded(value: float, error: float | None) -> tuple[str, str]:
    """A number and its error with equally many decimals: `0.0123` and `0.0004`.

    Without an error (None, none at all or infinite) there are three digits, and the error is empty.
    """
    if value == 0 and not error:
        return "0", ""
    if error is None or not error > 0 or math.isinf(error):
        return _fixed(value, 2 - math.floor(math.log10(abs(value)))) if value else "0", ""
    decimals = decimals_of(error)
    return _fixed(value, decimals), _fixed(error, decimals)


def small(value: float, error: float | None = None) -> tuple[str, str]:
    """As `rounded`, with a power of ten where there would be more than three zeros: `1.87e-06`, `0.14e-06`.

    It has two digits, as in all that Python and llama.cpp print.
    """
    if not 0 < value < _SMALL:
        return rounded(value, error)
    power = math.floor(math.log10(value))
    parts = rounded(value / 10.0**power, error and error / 10.0**power)
    number, said = (f"{part}e{power:03d}" if part else "" for part in parts)
    return number, said


def difference(value: float, error: float | None) -> tuple[str, str]:
    """A difference with its sign, and its error; one that lies within its error is given as about zero."""
    number, said = rounded(value, error)
    if said and error is not None and abs(value) < error:
        return "≈0", said
    return f"+{number}" if value > 0 else number, said


def plus_minus(parts: tuple[str, str]) -> str:
    """A number and its error in one text: `0.0123 ±0.0004`."""
    number, error = parts
    return f"{number} ±{error}" if error else number


def _fixed(value: float, decimals: int) -> str:
    return f"{round(value, decimals):.{max(0, decimals)}f}"
