"""Signals that ask a program to end: the app then leaves as by a key, and the terminal is as it was."""

from __future__ import annotations

import asyncio
import signal

from textual.app import App

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


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
