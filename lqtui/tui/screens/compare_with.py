"""Asks what to compare the recipe in the grid with: another slot, or a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lqtui.tui.widgets.choices import Choices
from lqtui.tui.widgets.quantities import size
from lqtui.workbench import Slot

_FILE = "file"


class CompareWith(ModalScreen[Slot | str | None]):
    """The other slots by their letters, and a file; gives the slot, `file`, or None."""

    DEFAULT_CSS = """
    CompareWith { align: center middle; }
    CompareWith > Vertical {
        width: 60; max-width: 96%; height: auto; padding: 0 1;
        border: round $primary; background: $surface;
    }
    CompareWith OptionList {
        height: auto; border: none; padding: 0; background: $surface; &:focus { border: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,equals_sign", "dismiss(None)", "Cancel", show=False),
    ]

    def __init__(self, others: Sequence[Slot]) -> None:
        super().__init__()
        self._others = {slot.letter: slot for slot in others}

    def compose(self) -> ComposeResult:
        """A line a slot, and one for files."""
        with Vertical() as box:
            box.border_title = "compare this recipe with"
            box.border_subtitle = "enter or its letter · esc cancel"
            slots = [Option(self._line(slot), id=letter) for letter, slot in self._others.items()]
            yield Choices(*slots, Option(Content("a file: a GGUF, or a recipe"), id=_FILE))

    def _line(self, slot: Slot) -> Content:
        mark = (" *", "bold $warning") if slot.modified else ""
        return Content.assemble(
            (f"slot {slot.letter}", "bold $text-accent"),
            f"  {slot.name}",
            mark,
            (f"  {size(slot.plan.file_bytes)}", "$text-muted"),
        )

    def on_key(self, event: events.Key) -> None:
        """A slot's letter, large or small, chooses it."""
        letter = (event.character or "").upper()
        if letter in self._others:
            self.action_choose(letter)

    def action_choose(self, what: str) -> None:
        """Give the slot of a letter, or say that it is a file."""
        self.dismiss(self._others.get(what, _FILE))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.action_choose(str(event.option.id))
