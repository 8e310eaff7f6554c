"""What was done to a recipe, edit by edit, shown in the layers while one goes through it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static

from lqtui.recipe.differences import differences, side_of_plan
from lqtui.recipe.recipe import Plan
from lqtui.tui.widgets.line_list import Line, LineList
from lqtui.tui.widgets.quantities import shortened, size
from lqtui.workbench import Change, Workbench
from lqtui.workbench.history import Step

_MARK = 2


class HistoryList(LineList):
    """One line an edit, the oldest first; what was undone is dim and has a mark."""

    BINDINGS: ClassVar[list[BindingType]] = []

    class Moved(Message):
        """The cursor is on another step."""

    class Chosen(Message):
        """A step is to be gone to."""

    def __init__(self) -> None:
        super().__init__()
        self._steps: Sequence[Step] = ()
        self._now = 0

    @property
    def position(self) -> int:
        """The step under the cursor."""
        return self.cursor if isinstance(self.cursor, int) else self._now

    def show(self, steps: Sequence[Step], now: int) -> None:
        """Show a history, and which of its steps is the current one; the cursor begins there."""
        self._steps, self._now = steps, now
        self._cursor = now if self._cursor is None else self._cursor
        self.styles.height = len(steps)
        self.update_lines()
        self.call_after_refresh(self.move_cursor, self._cursor)

    def build_lines(self, width: int) -> tuple[Content | None, list[Line]]:
        """One line a step."""
        return None, [Line(place, self._line(place, width)) for place in range(len(self._steps))]

    def _line(self, place: int, width: int) -> Content:
        step, undone = self._steps[place], place > self._now
        mark = "▸ " if place == self._now else "◌ " if undone else "  "
        name = shortened(step.now.recipe.name, max(8, width // 3))
        room = width - _MARK - len(name) - 1
        label = step.label if len(step.label) <= room else f"{step.label[: room - 1]}…"
        look = "dim" if undone else "bold" if place == self._now else ""
        return Content.assemble((mark, "bold $accent"), (label.ljust(room), look), " ", (name, "$text-muted"))

    def choose(self, key: Hashable) -> None:
        """Tell that the step under the cursor was chosen."""
        self.post_message(self.Chosen())

    def cursor_moved(self) -> None:
        """Tell that the cursor is on another step."""
        self.post_message(self.Moved())


class HistoryScreen(ModalScreen[int | None]):
    """The history beside the layers, which show each step that the cursor is on; gives the one to go to."""

    DEFAULT_CSS = """
    HistoryScreen { align: right middle; background: transparent; }
    HistoryScreen > Vertical {
        width: 54; max-width: 62%; height: auto; max-height: 80%; min-height: 8; padding: 0 1;
        border: round $primary; background: $surface;
    }
    HistoryScreen HistoryList { max-height: 1fr; border: none; padding: 0; &:focus { border: none; } }
    HistoryScreen Static { height: 2; margin-top: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,H", "dismiss(None)", "Close", show=False),
        Binding("u", "step(-1)", "Undo", show=False),
        Binding("U", "step(1)", "Redo", show=False),
    ]

    def __init__(self, workbench: Workbench, preview: Callable[[Plan], None]) -> None:
        super().__init__()
        self._workbench, self._preview = workbench, preview
        self._steps, self._said = HistoryList(), Static()
        self._unsubscribe: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """The list, and what the step under the cursor comes to."""
        with Vertical() as box:
            box.border_title = f"history of slot {self._workbench.slots[self._workbench.active_slot].letter}"
            box.border_subtitle = "↑↓ look · enter go there · esc stay"
            yield self._steps
            yield self._said

    def on_mount(self) -> None:
        """Begin at the current step, and keep up with edits of jobs."""
        self._unsubscribe = self._workbench.subscribe(self._hear)
        self._show()

    def on_unmount(self) -> None:
        """Listen no more."""
        if self._unsubscribe:
            self._unsubscribe()

    def _hear(self, change: Change) -> None:
        if change is Change.RECIPE:
            self.call_later(self._show)

    def _show(self) -> None:
        self._steps.show(self._workbench.history, self._workbench.history_position)
        self.look()

    @on(HistoryList.Moved)
    def look(self) -> None:
        """Show the step under the cursor in the layers, and what it comes to."""
        bench, place = self._workbench, self._steps.position
        if bench.plan is None or place >= len(bench.history):
            return
        there = bench.plan_at(place)
        self._preview(there)
        count = len(differences(side_of_plan(bench.plan), side_of_plan(there)))
        beside = (
            "the recipe as it is"
            if place == bench.history_position
            else f"{count} tensor{'' if count == 1 else 's'} other than now"
            if count
            else "the same types as now"
        )
        self._said.update(Content(f"{size(there.file_bytes)} · {there.bits_per_weight:.2f} bpw\n{beside}"))

    def action_step(self, step: int) -> None:
        """Move as undo and redo would."""
        self._steps.action_move(step)

    @on(HistoryList.Chosen)
    def _go(self) -> None:
        self.dismiss(self._steps.position)
