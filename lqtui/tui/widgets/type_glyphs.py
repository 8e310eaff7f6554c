"""One short code and one colour per tensor type: digits are bits, letters tell the variants apart."""

from __future__ import annotations

from dataclasses import dataclass

from rich.style import Style
from textual.app import App
from textual.color import Color

from lqtui.recipe.types import TensorType

FALLBACK_MARK = "≠"
"""Stands before the code of a cell whose type is not the one asked for."""

CODES: dict[TensorType, str] = {
    TensorType.F32: "32",
    TensorType.F16: "F",
    TensorType.BF16: "BF",
    TensorType.Q8_0: "8",
    TensorType.Q6_K: "6k",
    TensorType.Q5_1: "5+",
    TensorType.Q5_K: "5k",
    TensorType.Q5_0: "5",
    TensorType.Q4_1: "4+",
    TensorType.Q4_K: "4k",
    TensorType.Q4_0: "4",
    TensorType.IQ4_NL: "4n",
    TensorType.NVFP4: "4v",
    TensorType.IQ4_XS: "4x",
    TensorType.MXFP4: "4m",
    TensorType.Q3_K: "3k",
    TensorType.IQ3_S: "3s",
    TensorType.IQ3_XXS: "3z",
    TensorType.Q2_K: "2k",
    TensorType.IQ2_S: "2s",
    TensorType.IQ2_XS: "2x",
    TensorType.Q2_0: "2",
    TensorType.IQ2_XXS: "2z",
    TensorType.TQ2_0: "2t",
    TensorType.IQ1_M: "1m",
    TensorType.TQ1_0: "1t",
    TensorType.IQ1_S: "1s",
    TensorType.Q1_0: "1",
}


def code_of(tensor_type: TensorType) -> str:
    """The type's code of one or two characters: `8`, `4k`, `F`."""
    return CODES.get(tensor_type, "?")


@dataclass(frozen=True)
class _Tone:
    """A place on the theme's ramp: a mix of two of its colours, and the one colour that ANSI themes use."""

    colour: str
    towards: str
    share: float
    ansi: str


_TONES: tuple[tuple[float, _Tone], ...] = (
    (16.0, _Tone("primary", "primary", 0.0, "primary")),
    (8.0, _Tone("success", "success", 0.0, "success")),
    (6.0, _Tone("success", "warning", 0.4, "secondary")),
    (5.0, _Tone("success", "warning", 0.7, "secondary")),
    (4.0, _Tone("warning", "warning", 0.0, "warning")),
    (3.0, _Tone("warning", "error", 0.6, "error")),
    (0.0, _Tone("error", "error", 0.0, "error")),
)
"""From the most bits per weight to the fewest: calm for unquantized, then green over amber to red."""


LEGIBLE = 4.5
"""The least contrast of letters, by WCAG 2.1."""
_BLACK, _WHITE = Color(0, 0, 0), Color(255, 255, 255)


def contrast(ink: Color, behind: Color) -> float:
    """The contrast ratio of two colours, from 1 to 21 (WCAG 2.1)."""
    low, high = sorted((_luminance(ink), _luminance(behind)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: Color) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in color.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@dataclass(frozen=True)
class TypeStyle:
    """How cells of a type are drawn: usually, and while selected."""

    plain: Style
    selected: Style


class TypeStyles:
    """The styles of all types in the app's present theme."""

    def __init__(self, app: App[object]) -> None:
        theme = app.current_theme
        self._variables = app.theme_variables
        self._ansi = theme.ansi
        self._background = _BLACK if theme.ansi else self._colour("background")
        self._ink = _WHITE if theme.dark else _BLACK
        self._styles: dict[TensorType, TypeStyle] = {}

    def __getitem__(self, tensor_type: TensorType) -> TypeStyle:
        """The style of a type."""
        style = self._styles.get(tensor_type)
        if style is None:
            style = self._styles[tensor_type] = self._make(tensor_type)
        return style

    def _make(self, tensor_type: TensorType) -> TypeStyle:
        tone = next(tone for bits, tone in _TONES if tensor_type.bits_per_weight >= bits)
        if self._ansi:
            ansi = self._colour(tone.ansi).rich_color
            return TypeStyle(Style(color=ansi, bold=True), Style(color=ansi, bold=True, reverse=True))
        colour = self._colour(tone.colour).blend(self._colour(tone.towards), tone.share)
        muted = colour.blend(self._background, 0.6)
        inks = (colour.blend(self._ink, share) for share in (0.55, 0.7, 0.85))
        ink = next((ink for ink in inks if contrast(ink, muted) >= LEGIBLE), self._ink)
        vivid_ink = max(_BLACK, _WHITE, key=lambda ink: contrast(ink, colour))
        return TypeStyle(
            Style(color=ink.rich_color, bgcolor=muted.rich_color),
            Style(color=vivid_ink.rich_color, bgcolor=colour.rich_color, bold=True),
        )

    def _colour(self, variable: str) -> Color:
        return Color.parse(self._variables[variable])
