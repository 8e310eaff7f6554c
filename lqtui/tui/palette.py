"""The command palette, and its source: every command of the main screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from textual.command import CommandList, CommandPalette, DiscoveryHit, Hit, Hits, Provider

from lqtui.tui.keys.command import Command
from lqtui.tui.keys.commands import COMMANDS, MOVE
from lqtui.tui.keys.keyless import KEYLESS_COMMANDS
from lqtui.tui.keys.shown import keymap_of


class LqtuiCommands(Provider):
    """Finds commands by their names and by what they do."""

    @property
    def _commands(self) -> list[Command]:
        if not hasattr(self.screen, "action_run_command"):
            return []
        return [c for c in (*COMMANDS, *KEYLESS_COMMANDS) if c.group != MOVE and c.id != "app.palette"]

    def _run(self, command: Command) -> Callable[[], Awaitable[bool]]:
        return partial(self.app.run_action, f"screen.run_command('{command.id}')")

    def _title(self, command: Command) -> str:
        name_now = getattr(self.screen, "command_name", None)
        name = name_now(command.id, command.name) if name_now else command.name
        return f"{name}  ({command.shown_keys(keymap_of(self.screen))})" if command.keys else name

    async def discover(self) -> Hits:
        """Everything, before a letter is typed."""
        for command in self._commands:
            yield DiscoveryHit(self._title(command), self._run(command), help=command.help)

    async def search(self, query: str) -> Hits:
        """Commands whose name or help matches."""
        matcher = self.matcher(query)
        for command in self._commands:
            title = self._title(command)
            score = max(matcher.match(title), 0.6 * matcher.match(command.help))
            if score > 0:
                yield Hit(score, matcher.highlight(title), self._run(command), help=command.help)


class LqtuiPalette(CommandPalette):
    """Textual's palette, which also outlives a page key while there is no room for its list."""

    def _action_command_list(self, action: str) -> None:
        if self.query_one(CommandList).scrollable_content_region:
            super()._action_command_list(action)
