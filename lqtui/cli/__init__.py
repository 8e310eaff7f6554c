"""The `lqtui` command. Heavy imports stay inside the commands, so that help answers at once."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Run the command line of this process and exit: 0 done, 1 failed, 2 usage or bad input."""
    if sys.argv[1:] == ["--version"]:
        from lqtui import __version__

        print(f"lqtui {__version__}")
        return
    from lqtui.cli.commands import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name or a ± that the terminal cannot show is no failure
    app(prog_name="lqtui")
