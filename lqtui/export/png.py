"""A vector picture as a PNG image, which looks the same on every machine."""

from __future__ import annotations

from pathlib import Path

_FONT = Path(__file__).with_name("fonts") / "DejaVuSans-subset.ttf"
"""Latin letters and signs alone; others are taken from the machine's fonts, as far as it has any."""
_LATIN, _SIGNS = 0x100, "ΔΣρ–—…←↑→↓−≈≤≥\ufffd"
"""The letters that the font has: those below a number, and signs."""
_ZOOM = 2.0
"""Pixels of the image for one of the picture."""


def png(svg: str) -> bytes:
    """The image of an SVG document on white, twice as large."""
    import resvg_py  # not needed but here

    has_all = all(ord(letter) < _LATIN or letter in _SIGNS for letter in svg)
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg,
            background="#ffffff",
            zoom=_ZOOM,
            font_files=[str(_FONT)],
            skip_system_fonts=has_all,
            sans_serif_family="DejaVu Sans",
        )
    )
