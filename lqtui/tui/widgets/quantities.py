"""Quantities as people read them: sizes, durations, bars."""

from __future__ import annotations

from textual.content import Content

MIB = 1 << 20
GIB = 1 << 30


def mebibytes(count: int) -> str:
    """Bytes as MiB with the precision at which recipes differ: `94.2`, `948.1`, `4,438`."""
    value = count / MIB
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def size(count: int) -> str:
    """Bytes with their unit: `94.2 MiB`, `7.4 GiB`."""
    if count < 1000 * MIB:
        return f"{count / MIB:.1f} MiB"
    return f"{count / GIB:.1f} GiB"


def fine_size(count: int) -> str:
    """As `size`, in KiB below one MiB, where a small model's types would look alike: `61.9 KiB`."""
    return f"{count / 1024:.1f} KiB" if count < MIB else size(count)


def share(used: int, total: int) -> str:
    """How much of a total is used, with one unit: `3.1/8.0 GiB`."""
    unit, name = (GIB, "GiB") if total >= GIB else (MIB, "MiB")
    return f"{used / unit:.1f}/{total / unit:.1f} {name}"


def clock(seconds: float) -> str:
    """A duration as on a clock: `0:02`, `12:40`, `1:02:03`."""
    minutes, second = divmod(round(max(0.0, seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def shortened(text: str, width: int) -> str:
    """A name in at most `width` cells: without `_layers`, `_q8` at its end, or its middle, as ends differ."""
    short = text.replace("_layers", "")
    for wording in (text, short, short.removesuffix("_q8")):
        if len(wording) <= width:
            return wording
    if width < 4:
        return short[: max(0, width)]
    tail = (width - 1) // 3
    return f"{short[: width - 1 - tail]}…{short[len(short) - tail :]}"


def bar(fraction: float, width: int, style: str = "$primary") -> Content:
    """A bar of `width` cells, filled to `fraction`; thick against thin, so that it reads without colour."""
    halves = round(min(1.0, max(0.0, fraction)) * 2 * width)
    full, half = divmod(halves, 2)
    filled = "━" * full + "╸" * half
    return Content.assemble((filled, style), ("─" * (width - len(filled)), "dim"))
