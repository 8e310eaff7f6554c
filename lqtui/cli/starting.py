"""What opens the app: the model to begin with, and what the person prefers."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console

from lqtui.cli import output
from lqtui.cli.driving import workbench
from lqtui.recipe.spelling import nearest
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.workbench import Settings, WorkbenchError
from lqtui.workbench.demo import demo_model, is_first_start
from lqtui.workbench.jobs import new_log
from lqtui.workbench.preferences import read_settings
from lqtui.workbench.remembering import settings_left
from lqtui.workbench.session import AppSession, Sessions

WELCOME = (
    "This is the bundled demo model: press {type.q4} on a block, then {run.measure}. "
    "{model.open} opens your own."
)
IN_BROWSER = (
    "In the browser, files are opened and saved on the machine that runs lqtui. Copying asks the browser's "
    "leave; paste as on any page. Closing the page ends the app."
)


def open_app(
    model: Path | None,
    chosen: Settings,
    requantize: bool,
    known_commands: list[str],
    *,
    given: Collection[str] = (),
    fresh: bool = False,
    ascii: bool | None = None,
) -> None:
    """Open the app where it was left, on the demo model the first time; without a terminal say so and exit.

    `given` are the names of the settings that the person chose now. With `fresh` nothing that was left is
    gone on from.
    """
    if model is not None and not _exists(model):
        near = nearest(str(model), known_commands)
        output.fail(f"{model} does not exist" + (f"; did you mean `lqtui {near}`?" if near else ""))
    served = os.environ.get("TEXTUAL_DRIVER", "").endswith(":WebDriver")
    if not (served or (sys.stdin.isatty() and sys.stdout.isatty())):
        output.fail("the app needs a terminal; for scripts use the commands that `lqtui --help` lists")
    paths = Paths.from_environment()
    sessions = Sessions(paths, fresh=fresh)
    is_kept = read_settings(paths.settings_file).preferences.session
    left = sessions.last() if is_kept else AppSession()
    settings, gone = settings_left(left.settings, chosen, given)
    notices = [gone] if gone else []
    bench = workbench(settings)
    bench.sessions = sessions if is_kept else None
    welcome = problem = ""
    if model is None and left.model is not None:
        model, requantize = left.model, left.requantize
        if not _exists(model):
            notices.append(f"{model}, which was open last, is gone; this is the demo model.")
            model = None
    if model is None:
        try:
            model = demo_model()
            welcome = WELCOME if is_first_start(bench.paths) else ""
        except WorkbenchError as error:
            problem = str(error)
    if model is not None:
        bench.expect(model)  # the header is read while the app is being loaded
    from lqtui.tui.app import LqtuiApp
    from lqtui.tui.settings import own_settings
    from lqtui.tui.terminal.ascii_text import needs_ascii

    preferences, problems = own_settings(paths.settings_file)
    asked = preferences.ascii if ascii is None else ascii
    tui = LqtuiApp(
        bench,
        model,
        requantize=requantize,
        welcome=welcome,
        problem=problem,
        ascii=not served and needs_ascii(os.environ) if asked is None else asked,
        preferences=preferences,
        notices=[*_told(problems), *notices, *([IN_BROWSER] if served else [])],
        look=left.look,
    )
    trace = io.StringIO()  # where Textual would print a page of it
    tui.error_console = Console(file=trace, width=120)
    tui.run()
    if trace.getvalue():
        output.note(_told_of_defect(trace.getvalue(), paths))
    sys.exit(tui.return_code or 0)


def _told_of_defect(trace: str, paths: Paths) -> str:
    """What to say where the app ended by a defect; where it happened is for a log."""
    last = next((line for line in reversed(trace.splitlines()) if line.strip()), "")
    said = f"lqtui stopped at a defect of its own ({last.strip()}). Recipes and results are kept"
    try:
        log = new_log(paths.logs, "app")
        log.write_text(trace, encoding="utf-8")
    except (StoreError, OSError):
        return f"{said}; where it happened could not be written down."
    return f"{said}; {log} shows where it happened."


def _told(problems: Sequence[str]) -> list[str]:
    """What the app says of settings that it cannot use."""
    if not problems:
        return []
    others = f" `lqtui settings --check` tells of {len(problems) - 1} more." if len(problems) > 1 else ""
    stop = "" if problems[0].endswith("?") else "."
    return [f"{problems[0]}{stop}{others}"]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long a name, for one
        return False
