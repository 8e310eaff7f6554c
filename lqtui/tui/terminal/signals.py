"""What ends the app from outside: it then leaves as by a key, and its terminal is as it was."""

from __future__ import annotations

import asyncio
import os
import signal

from textual.app import App

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_LOOK_SECONDS = 1.0


def leave_on_signals(app: App[None]) -> None:
    """Have SIGTERM, SIGHUP and SIGINT close the app with the exit status of the signal, 128 + its number.

    Textual would die at once and leave the terminal in its own mode, with jobs on their own. A second signal
    does what it does to any program. Must be called in the app's event loop.
    """
    loop = asyncio.get_running_loop()

    def leave(number: signal.Signals) -> None:
        for ending in _ENDING:
            loop.remove_signal_handler(ending)
        app.exit(return_code=128 + number)

    for ending in _ENDING:
        loop.add_signal_handler(ending, leave, ending)


def leave_with_parent(app: App[None]) -> None:
    """Have the app leave when the process that started it, and shows it to a browser, is gone."""
    parent = os.getppid()

    def look() -> None:
        if os.getppid() != parent:
            app.exit()

    app.set_interval(_LOOK_SECONDS, look)
