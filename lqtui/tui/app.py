"""The terminal app."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from platformdirs import user_downloads_path
from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.driver import Driver
from textual.filter import LineFilter, Monochrome, NoColor
from textual.keys import key_to_character
from textual.screen import Screen
from textual.widgets import Input, TextArea
from textual.worker import Worker, WorkerState

from lqtui.system import meters
from lqtui.tui.keys.keymap import full_keymap
from lqtui.tui.palette import LqtuiCommands, LqtuiPalette
from lqtui.tui.screens.confirm import ConfirmScreen
from lqtui.tui.screens.main import MainScreen
from lqtui.tui.terminal.ascii_text import AsciiText
from lqtui.tui.terminal.colourless import Colourless
from lqtui.tui.terminal.harmless import HarmlessText
from lqtui.tui.terminal.lasting import lasting
from lqtui.tui.terminal.notices import TerminalNotice, terminal_notice
from lqtui.tui.terminal.signals import leave_on_signals, leave_with_parent
from lqtui.workbench import Change, Workbench
from lqtui.workbench.preferences import Preferences
from lqtui.workbench.session import Look

_CLOSING_SECONDS = 5.0
_TWICE_SECONDS = 3.0
"""So soon after the first, ctrl+c leaves."""


def _calm_garbage_collector() -> None:
    """Keep full collections, which take up to 80 ms beside a deep model's plans, out of the way of keys.

    What is loaded by now stays for good, so it is not looked through even once.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 100)


class LqtuiApp(App[None]):
    """Choose the quantization of every layer from the keyboard."""

    TITLE = "lqtui"
    CSS_PATH = "lqtui.tcss"
    COMMANDS: ClassVar = {LqtuiCommands, *App.COMMANDS}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True),
        Binding("ctrl+p", "command_palette", "Command palette", show=False, priority=True, id="app.palette"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False),
    ]
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        workbench: Workbench,
        model_path: Path | None,
        requantize: bool = False,
        *,
        welcome: str = "",
        problem: str = "",
        ascii: bool = False,
        read_meters: Callable[[], meters.Snapshot] | None = meters.read,
        preferences: Preferences | None = None,
        notices: Sequence[str] = (),
        look: Look | None = None,
    ) -> None:
        super().__init__()
        self.preferences = preferences or Preferences()
        self.workbench = workbench
        self._model_path = model_path
        self._requantize = requantize
        self._welcome = welcome
        self._problem = problem
        self._notices = notices
        self._look = look or Look()
        self.ascii = ascii
        self.main = MainScreen(workbench, read_meters)
        self._workbench_is_closed = False
        self._interrupted = -math.inf
        self._harmless = HarmlessText()

    def get_default_screen(self) -> Screen[None]:
        """The main screen."""
        return self.main

    def get_driver_class(self) -> type[Driver]:
        """What draws: it outlives its terminal for as long as it takes to leave."""
        return lasting(super().get_driver_class())

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What every line goes through on its way to the terminal."""
        of_textual = super().get_line_filters()
        if self.no_color:
            screen = Color.parse(self.theme_variables["background"])
            colours = [f for f in of_textual if not isinstance(f, Monochrome | NoColor)]
            of_textual = [*colours, Colourless(screen)]
        return [self._harmless, *((AsciiText(),) if self.ascii else ()), *of_textual]

    def on_load(self) -> None:
        """In a terminal, leave it clean whatever ends the app."""
        if not self.is_headless:
            leave_on_signals(self)

    def on_mount(self) -> None:
        """Use the keys and the theme that the person prefers."""
        self.set_keymap(full_keymap(self.preferences.keys))
        theme = self.preferences.theme or self._look.theme
        if theme in self.available_themes:
            self.theme = theme

    def on_ready(self) -> None:
        """Open the model to begin with; without one, say why and let the person choose."""
        _calm_garbage_collector()
        self.main.look_as_left(self._look)
        if self.is_web:
            leave_with_parent(self)
        for notice in self._notices:
            self.notify(notice, severity="warning", timeout=20, markup=False)
        if self._welcome:
            self.main.welcome(self._welcome)
        if self._model_path is not None:
            self.main.open_model(self._model_path, requantize=self._requantize)
        elif self._problem:
            self.notify(self._problem, severity="error", timeout=12, markup=False)
            self.main.action_open_model()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Textual's own commands that make sense here."""
        for command in super().get_system_commands(screen):
            if command.title in ("Theme", "Screenshot"):
                yield command

    def deliver_screenshot(
        self, filename: str | None = None, path: str | None = None, time_format: str | None = None
    ) -> str | None:
        """Save a picture of the screen among the downloads, or here where there is no folder for these."""
        if path is None and not user_downloads_path().is_dir():
            path = str(Path.cwd())
        return super().deliver_screenshot(filename, path, time_format)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Tell of a background task that failed; the app goes on."""
        if event.state is WorkerState.ERROR:
            self.notify(f"A background task failed: {event.worker.error}", severity="error", markup=False)

    def action_command_palette(self) -> None:
        """Let a command be searched for."""
        if not isinstance(self.screen, LqtuiPalette):
            self.push_screen(LqtuiPalette(id="--command-palette"))

    def action_help_quit(self) -> None:
        """Take a second ctrl+c for quitting, because the first may have been meant to copy."""
        before, self._interrupted = self._interrupted, time.monotonic()
        if self._interrupted - before < _TWICE_SECONDS:
            self.call_later(self.action_quit)
        else:
            self.notify("Press ctrl+c again to leave.", timeout=_TWICE_SECONDS)

    @on(TerminalNotice)
    def tell_terminal(self, event: TerminalNotice) -> None:
        """Let the terminal tell something to a person who looks elsewhere."""
        if self._driver is not None:
            self._driver.write(terminal_notice(event.text, os.environ))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key that writes a character opens no palette where a person types."""
        if action == "command_palette" and isinstance(self.focused, Input | TextArea):
            return all(key_to_character(key) is None for key in self._palette_keys)
        return super().check_action(action, parameters)

    @property
    def _palette_keys(self) -> list[str]:
        return self.preferences.keys.get("app.palette", "ctrl+p").split(",")

    async def action_quit(self) -> None:
        """Leave; ask first when jobs run."""
        if any(isinstance(screen, ConfirmScreen) for screen in self.screen_stack):
            return
        if not any(job.active for job in self.workbench.jobs):
            await self._leave(True)
            return
        dialog = ConfirmScreen(self._leave_question, "Leave", "Stay")

        def ask_again(change: Change) -> None:
            if change is Change.JOBS:
                self.call_later(dialog.ask, self._leave_question)

        unsubscribe = self.workbench.subscribe(ask_again)

        async def answer(sure: bool | None) -> None:
            unsubscribe()
            await self._leave(sure)

        self.push_screen(dialog, answer)

    @property
    def _leave_question(self) -> str:
        """What to ask before leaving, as the jobs are now."""
        match sum(job.active for job in self.workbench.jobs):
            case 0:
                return "No job runs any more. Leave?"
            case 1:
                return "A job is not finished; it can go on next time. Leave?"
            case count:
                return f"{count} jobs are not finished; they can go on next time. Leave?"

    async def _leave(self, sure: bool | None) -> None:
        if sure:
            await self._close_workbench()
            self.exit()

    async def _close_workbench(self) -> None:
        if self._workbench_is_closed:
            return
        self._workbench_is_closed = True
        try:
            self.main.remember()
            await asyncio.wait_for(self.workbench.close(), _CLOSING_SECONDS)
        except Exception as error:  # nothing may keep a person from leaving
            self.log.error(error)

    async def on_unmount(self) -> None:
        """Leave no job behind, however the app ends."""
        await self._close_workbench()
        meters.close()
