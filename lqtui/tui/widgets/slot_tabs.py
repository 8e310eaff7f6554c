"""The recipes side by side, as the header names them: `A first-4-q8 │ B uniform_q4_0 *`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content
from textual.style import Style

from lqtui.tui.widgets.quantities import shortened

if TYPE_CHECKING:
    from lqtui.workbench import Slot

_BAR = "│"
_LEAST_NAME = 6
"""A name cut shorter than this tells nothing: the letter alone does."""


def slot_tabs(slots: Sequence[Slot], active: int, width: int) -> Content:
    """All slots in at most `width` cells as far as that can be; a click on one asks for it.

    The active one is reversed and keeps its name longest; `*` marks those that were edited since they were
    named.
    """
    marks = [2 if slot.modified else 0 for slot in slots]
    fixed = len(_BAR) * (len(slots) - 1) + sum(3 + mark for mark in marks)
    rooms = _rooms([len(slot.name) + 1 for slot in slots], active, width - fixed)
    parts: list[Content | tuple[str, str]] = []
    for index, (slot, room) in enumerate(zip(slots, rooms, strict=True)):
        if index:
            parts.append((_BAR, "dim"))
        parts.append(_tab(slot, index, room, is_active=index == active))
    return Content.assemble(*parts)


def _rooms(lengths: list[int], active: int, room: int) -> list[int]:
    """Cells for each name: what it needs, the active one's first; none where so few would not tell it."""
    given = [0] * len(lengths)
    others = sorted((i for i in range(len(lengths)) if i != active), key=lambda i: lengths[i])
    reserved = min(room, lengths[active])
    left = room - reserved
    given[active] = reserved if reserved > _LEAST_NAME or reserved == lengths[active] else 0
    for place, index in enumerate(others):
        share = left // (len(others) - place)
        taken = min(lengths[index], share)
        if taken == lengths[index] or taken > _LEAST_NAME:
            given[index] = taken
            left -= taken
    return given


def _tab(slot: Slot, index: int, room: int, *, is_active: bool) -> Content:
    name = f" {shortened(slot.name, room - 1)}" if room > 1 else ""
    letter = Style.from_meta({"@click": f"screen.switch_slot({index})"})
    look = "bold reverse" if is_active else "$foreground 80%"
    tab = Content.assemble((f" {slot.letter}{name} ", look))
    if slot.modified:
        tab = Content.assemble(tab, ("* ", "bold $warning"))
    return tab.stylize(letter)
