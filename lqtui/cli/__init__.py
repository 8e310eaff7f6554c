"""The `lqtui` command. Heavy imports stay inside the commands, so that help answers at once."""

from __future__ import annotations

import gc
import sys
from pathlib import Path


def main() -> None:
    """Run the command line of this process and exit: 0 done, 1 failed, 2 usage or bad input."""
    from lqtui.cli.ending import open_streams, told_in_a_sentence

    open_streams()
    with told_in_a_sentence():
        _run()


def _run() -> None:
    if sys.argv[1:] == ["--version"]:
        from lqtui import __version__

        print(f"lqtui {__version__}")
        return
    if sys.argv[1:] == [] or (len(sys.argv) == 2 and _names_a_model(sys.argv[1])):
        gc.disable()  # until the app has started, when it sets its own pace
        from lqtui.cli import starting
        from lqtui.workbench import Settings

        model = Path(sys.argv[1]) if len(sys.argv) == 2 else None
        starting.open_app(model, Settings(), False, known_commands=[])
        return
    from lqtui.cli.commands import app
    from lqtui.cli.ending import stopped_as_by_ctrl_c

    with stopped_as_by_ctrl_c():
        app(prog_name="lqtui")


def _names_a_model(argument: str) -> bool:
    """Whether an argument can be nothing but a model, so that no command need be loaded to tell."""
    return argument.endswith(".gguf") and not argument.startswith("-")
