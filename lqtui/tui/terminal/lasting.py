"""A terminal may go away at any time: what is written to it from then on is dropped."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import IO, Any, cast

from textual.driver import Driver


class LastingOutput:
    """Writes to a file, and to nowhere once that fails.

    Textual writes in a thread, which such an error would end. What the app hands over after that fills a
    short queue, and the app then waits for room in it for good, with no terminal to say so.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write a text, and give how long it is."""
        with suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        with suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        """The descriptor of the file."""
        return self._file.fileno()


def lasting(driver: type[Driver]) -> type[Driver]:
    """The driver of a Unix terminal, such that the app can leave after it is gone; any other as it is."""
    if sys.platform == "win32":
        return driver
    from textual.drivers.linux_driver import LinuxDriver

    if driver is not LinuxDriver:
        return driver

    class LastingDriver(LinuxDriver):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._file = cast(Any, LastingOutput(cast(IO[str], self._file)))

    return LastingDriver
