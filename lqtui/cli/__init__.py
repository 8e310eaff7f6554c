"""The `lqtui` command. Heavy imports stay inside the commands, so that help answers at once."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and exit: 0 done, 1 failed, 2 usage or bad input."""
    if sys.argv[1:] == ["--version"]:
        from lqtui import __version__

        print(f"lqtui {__version__}")
        return
    from lqtui.cli.commands import app

    app(prog_name="lqtui")
