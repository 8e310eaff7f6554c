"""The main screen's part on several recipes at once, and on what was done to each."""

from __future__ import annotations

from lqtui.recipe.recipe import Plan
from lqtui.tui.screens.confirm import ConfirmScreen
from lqtui.tui.screens.main_actions import MainActions, after_edits
from lqtui.tui.widgets.header import HeaderLine
from lqtui.tui.widgets.key_bar import KeyBar
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.legend import Legend


class MainSlots(MainActions):
    """Slots and histories, over the workbench of the main screen."""

    def command_name(self, command_id: str, name: str) -> str:
        """What a command is called now: undo and redo say what they would take back or make again."""
        label = {"recipe.undo": self.workbench.undo_label, "recipe.redo": self.workbench.redo_label}
        said = label.get(command_id)
        return f"{name}: {said}" if said else name

    def show_slots(self) -> None:
        """Show which recipes there are, and what undo and redo would do."""
        bench = self.workbench
        self.query_one(HeaderLine).show_slots(bench.slots, bench.active_slot)
        self.query_one(KeyBar).edits = bench.undo_label or "", bench.redo_label or ""

    @after_edits
    def action_new_slot(self) -> None:
        """Copy the recipe into a slot of its own."""
        if self._has_model():
            with self.refusals_told():
                made = self.workbench.new_slot()
                flip = f"{self.key('slot.next')} flips between the {len(self.workbench.slots)} slots"
                self.announce(
                    f"Slot {made.letter} is a copy of {made.name}: what you change here leaves the other as "
                    f"it is. {flip}.",
                    f"Slot {made.letter} is a copy; {flip}.",
                )

    @after_edits
    def action_next_slot(self) -> None:
        """Flip to the next slot."""
        slots = self.workbench.slots
        if len(slots) > 1:
            self._switch_slot((self.workbench.active_slot + 1) % len(slots))
        elif self._has_model():
            self.announce(f"There is one slot: {self.key('slot.new')} copies its recipe into another.")

    def action_switch_slot(self, index: int) -> None:
        """Flip to a slot by its place, as a click on it does."""
        self._switch_slot(index)

    def _switch_slot(self, index: int) -> None:
        with self.refusals_told():
            self.workbench.switch_slot(index)
            slot = self.workbench.slots[index]
            self.announce(f"Slot {slot.letter}: {slot.name}{', edited' if slot.modified else ''}.")

    @after_edits
    def action_close_slot(self) -> None:
        """Forget the active slot; ask first where edits would be lost with it."""
        slots = self.workbench.slots
        if not self._has_model():
            return
        slot = slots[self.workbench.active_slot]
        if len(slots) > 1 and slot.modified:
            question = f"{slot.name} in slot {slot.letter} was edited since it was named. Close it?"
            self.app.push_screen(ConfirmScreen(question, "Close it", "Keep it"), self._close_if)
        else:
            self._close_if(True)

    def _close_if(self, sure: bool | None) -> None:
        if sure:
            with self.refusals_told():
                closed = self.workbench.close_slot()
                self.announce(f"Slot {closed.letter} with {closed.name} is closed.")

    @after_edits
    def action_history(self) -> None:
        """List what was done to the recipe."""
        from lqtui.tui.screens.history import HistoryScreen

        def go(position: int | None) -> None:
            if position is not None and position != self.workbench.history_position:
                with self.refusals_told():
                    label = self.workbench.go_to(position)
                    self.announce(f"Gone to: {label}.")
            if self.workbench.plan is not None:
                self._preview(self.workbench.plan)

        if self._has_model():
            self.app.push_screen(HistoryScreen(self.workbench, self._preview), go)

    def _preview(self, plan: Plan) -> None:
        """Show another step's recipe in the layers, until the person has looked."""
        self.query_one(LayerGrid).show_plan(plan)
        self.query_one(Legend).show_plan(plan)
