"""The `lqtui` command. Heavy imports stay inside the commands, so that help answers at once."""

from __future__ import annotations

import gc
import io
import sys


def main() -> None:
    """Run the command line of this process and exit: 0 done, 1 failed, 2 usage or bad input."""
    if sys.argv[1:] == ["--version"]:
        from lqtui import __version__

        print(f"lqtui {__version__}")
        return
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name or a ± that the terminal cannot show is no failure
    if len(sys.argv) == 1:  # the app alone, by the shortest way
        gc.disable()  # until the app has started, when it sets its own pace
        from lqtui.cli import runs, starting

        starting.open_app(None, runs.settings(), False, known_commands=[])
        return
    from lqtui.cli.commands import app

    app(prog_name="lqtui")
