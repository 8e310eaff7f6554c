"""The key bar at the bottom: the keys that matter most, as many as fit, each clickable."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from lqtui.tui.keys import COMMANDS, Command

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
    "run.measure",
    "recipe.presets",
    "recipe.export",
    "run.sweep",
    "recipe.save",
    "model.open",
    "recipe.redo",
    "app.palette",
    "app.quit",
)
"""What finds room first."""


class KeyBar(Widget):
    """One line of keys and words, from the same registry as the bindings."""

    DEFAULT_CSS = """
    KeyBar { height: 1; width: 1fr; padding: 0 1; background: $panel; color: $foreground; }
    """

    def render(self) -> Content:
        """The commands that fit, help always among them."""
        by_id = {command.id: command for command in COMMANDS}
        keymap = dict(self.app._keymap)
        chosen: list[str] = []
        width = self.content_size.width
        for name in (_HELP, *_ORDER):
            trial = [*chosen, name]
            if self._line((by_id[n] for n in trial), keymap).cell_length > width:
                break
            chosen = trial
        return self._line((by_id[name] for name in (*chosen[1:], _HELP)), keymap)

    def _line(self, commands: Iterable[Command], keymap: dict[str, str]) -> Content:
        parts: list[Content] = []
        for command in commands:
            key = command.shown_keys(keymap).split(" ")[0]
            entry = Content.assemble((key, "bold $text-accent"), (f" {command.hint}", "$text-muted"))
            click = Style.from_meta({"@click": f"screen.run_command('{command.id}')"})
            parts.append(entry.stylize(click))
        return Content("  ").join(parts)
