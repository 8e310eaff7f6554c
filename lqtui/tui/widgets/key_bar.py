"""The key bar at the bottom: the keys that matter most, as many as fit, each clickable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from lqtui.tui.keys.command import Command
from lqtui.tui.keys.commands import COMMANDS, GRID_COMMANDS
from lqtui.tui.keys.shown import keymap_of
from lqtui.tui.widgets.quantities import shortened

_GAP = 2
_NAMES_EDITS = 100
"""Cells from which undo and redo say what they would do."""
_EDIT = 22
"""The most cells that they say it in."""
_HELP = "app.help"
_ORDER = (
    "type.cycle",
    "type.f16",
    "type.q8",
    "type.q4",
    "type.pick",
    "grid.range",
    "grid.all",
    "recipe.undo",
    "recipe.redo",
    "run.measure",
    "run.sweep",
    "matters.sensitivity",
    "matters.budget",
    "matters.frontier",
    "chart.metric",
    "recipe.presets",
    "recipe.save",
    "recipe.export",
    "model.open",
    "app.palette",
    "app.quit",
)
"""From left to right."""
_FIRST = (
    "type.cycle",
    "type.f16",
    "type.q8",
    "type.q4",
    "run.measure",
    "recipe.export",
    "recipe.undo",
    "matters.budget",
    "run.sweep",
    "matters.sensitivity",
    "grid.range",
    "recipe.presets",
    "type.pick",
    "grid.all",
    "recipe.save",
    "model.open",
    "chart.metric",
    "app.quit",
    "app.palette",
    "matters.frontier",
    "recipe.redo",
)
"""What finds room first."""


class KeyBar(Widget):
    """One line of keys and words, from the same registry as the bindings."""

    DEFAULT_CSS = """
    KeyBar { height: 1; width: 1fr; padding: 0 1; background: $panel; color: $foreground; }
    """

    @dataclass
    class Clicked(Message):
        """A person clicked a command."""

        command_id: str

    for_grid: reactive[bool] = reactive(True)
    """Whether the keys of the layer grid are shown too."""
    edits: reactive[tuple[str, str]] = reactive(("", ""))
    """What undo would take back and redo make again, in a few words; empty where there is nothing."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._ends: list[tuple[int, str]] = []

    def render(self) -> Content:
        """The commands that fit, help always among them."""
        by_id = {command.id: command for command in COMMANDS}
        entries = {name: _entry(by_id[name], keymap_of(self)) for name in (*_ORDER, _HELP)}
        if self.content_size.width >= _NAMES_EDITS:
            for name, edit in zip(("recipe.undo", "recipe.redo"), self.edits, strict=True):
                hint = f"{by_id[name].hint}: {shortened(edit, _EDIT)}" if edit else by_id[name].hint
                entries[name] = _entry(replace(by_id[name], hint=hint), keymap_of(self))
        grid_keys = {command.id for command in GRID_COMMANDS}
        room = self.content_size.width - entries[_HELP].cell_length
        fitting = {_HELP}
        for name in _FIRST:
            width = entries[name].cell_length + _GAP
            if width <= room and (self.for_grid or name not in grid_keys):
                fitting.add(name)
                room -= width
        shown = [name for name in (*_ORDER, _HELP) if name in fitting]
        self._ends, end = [], 0
        for name in shown:
            end += entries[name].cell_length + _GAP
            self._ends.append((end, name))
        return Content(" " * _GAP).join(entries[name] for name in shown)

    def on_click(self, event: events.Click) -> None:
        """Do the command under the mouse."""
        x = event.x - self.styles.padding.left
        name = next((name for end, name in self._ends if x < end), None)
        if name:
            self.post_message(self.Clicked(name))


def _entry(command: Command, keymap: Mapping[str, str]) -> Content:
    key = command.shown_keys(keymap).split(" ")[0]
    return Content.assemble((key, "bold $text-accent"), (f" {command.hint}", "$foreground 80%"))
