"""A terminal that goes away takes no app hostage."""

from __future__ import annotations

import os
import sys
from threading import Thread
from typing import IO, cast

import pytest

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

import pty

from textual.drivers._writer_thread import WriterThread
from textual.drivers.headless_driver import HeadlessDriver
from textual.drivers.linux_driver import LinuxDriver

from lqtui.tui.terminal.lasting import LastingOutput, lasting

_PATIENCE = 20.0


def test_the_app_can_go_on_to_write_and_end_when_its_terminal_is_gone() -> None:
    leader, follower = pty.openpty()
    output = os.fdopen(follower, "w", buffering=1)
    writer = WriterThread(cast(IO[str], LastingOutput(output)))
    writer.start()
    os.close(leader)

    def draw_and_leave() -> None:
        for _ in range(500):
            writer.write("a line\n")
        writer.stop()

    app = Thread(target=draw_and_leave, daemon=True)
    app.start()
    app.join(_PATIENCE)

    assert not app.is_alive()
    with pytest.raises(OSError):
        output.close()


def test_what_is_written_comes_to_a_terminal_that_is_there() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as file:
        output = LastingOutput(file)
        assert output.write("shown") == len("shown")
        output.flush()
        assert os.read(leader, 100) == b"shown"
    os.close(leader)


def test_only_the_driver_of_a_unix_terminal_is_made_to_last() -> None:
    assert issubclass(lasting(LinuxDriver), LinuxDriver) and lasting(LinuxDriver) is not LinuxDriver
    assert lasting(HeadlessDriver) is HeadlessDriver
