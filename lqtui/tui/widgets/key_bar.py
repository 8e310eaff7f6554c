"""The key bar at the bottom: the keys that matter most, as many as fit, each clickable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.cache import LRUCache
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

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
_BY_ID = {command.id: command for command in COMMANDS}
_OF_GRID = {command.id for command in GRID_COMMANDS}


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
        self._drawn: LRUCache[tuple[str, str], Strip] = LRUCache(256)

    def notify_style_update(self) -> None:
        """Draw in the new theme."""
        self._drawn.clear()
        super().notify_style_update()

    @property
    def said(self) -> str:
        """The whole line."""
        return (" " * _GAP).join(f"{key} {hint}" for _, key, hint in self._entries())

    def render_line(self, y: int) -> Strip:
        """The commands that fit, help always among them."""
        gap = Strip.blank(_GAP, self.rich_style)
        strips = [strip for _, key, hint in self._entries() for strip in (self._draw(key, hint), gap)]
        width = self.content_size.width
        return Strip.join(strips).adjust_cell_length(width, self.rich_style)

    def _draw(self, key: str, hint: str) -> Strip:
        strip = self._drawn.get((key, hint))
        if strip is None:
            entry = Content.assemble((key, "bold $text-accent"), (f" {hint}", "$foreground 80%"))
            strip = Visual.to_strips(self, entry, entry.cell_length, 1, self.visual_style)[0]
            self._drawn[key, hint] = strip
        return strip

    def _entries(self) -> list[tuple[str, str, str]]:
        """Id, key and word of what fits, from left to right."""
        keymap = keymap_of(self)
        entries = {name: (_key(name, keymap), _BY_ID[name].hint) for name in (*_ORDER, _HELP)}
        if self.content_size.width >= _NAMES_EDITS:
            for name, edit in zip(("recipe.undo", "recipe.redo"), self.edits, strict=True):
                if edit:
                    key, hint = entries[name]
                    entries[name] = key, f"{hint}: {shortened(edit, _EDIT)}"
        widths = {name: cell_len(f"{key} {hint}") for name, (key, hint) in entries.items()}
        room = self.content_size.width - widths[_HELP]
        fitting = {_HELP}
        for name in _FIRST:
            width = widths[name] + _GAP
            if width <= room and (self.for_grid or name not in _OF_GRID):
                fitting.add(name)
                room -= width
        return [(name, *entries[name]) for name in (*_ORDER, _HELP) if name in fitting]

    def on_click(self, event: events.Click) -> None:
        """Do the command under the mouse."""
        x, end = event.x - self.styles.padding.left, 0
        for name, key, hint in self._entries():
            end += cell_len(f"{key} {hint}") + _GAP
            if x < end:
                self.post_message(self.Clicked(name))
                return


def _key(name: str, keymap: Mapping[str, str]) -> str:
    return _BY_ID[name].shown_keys(keymap).split(" ")[0]
