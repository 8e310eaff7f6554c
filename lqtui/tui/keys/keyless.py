"""The commands that have no key: the palette alone runs them."""

from __future__ import annotations

from lqtui.tui.keys.command import Command
from lqtui.tui.keys.commands import MATTERS, VIEW
from lqtui.tui.keys.slots import SLOTS

KEYLESS_COMMANDS: tuple[Command, ...] = (
    Command(
        "matters.depth",
        "",
        "depth",
        "Sensitivity by depth",
        "See what each block costs along the depth of the model, measured or estimated.",
        MATTERS,
    ),
    Command("tour.start", "", "tour", "Tour", "Show the five hints for newcomers, from the first on.", VIEW),
    Command("tour.skip", "", "skip_tour", "Skip the tour", "Show no more hints, now and later.", VIEW),
    Command("slot.close", "", "close_slot", "Close slot", "Forget this slot and its history.", SLOTS),
)
