"""The commands on several recipes at once, and on what was done to each."""

from __future__ import annotations

from lqtui.tui.keys.command import Command

SLOTS = "Several recipes"

SLOT_COMMANDS: tuple[Command, ...] = (
    Command(
        "slot.new",
        "N",
        "new_slot",
        "New slot",
        "Copy this recipe into a slot of its own, to try something beside it.",
        SLOTS,
    ),
    Command(
        "slot.next",
        "S",
        "next_slot",
        "Next slot",
        "Flip to the next slot's recipe; each has its own undo.",
        SLOTS,
    ),
    Command(
        "recipe.history",
        "H",
        "history",
        "History",
        "List every edit of this slot; moving shows each in the layers, enter goes there.",
        SLOTS,
    ),
)
