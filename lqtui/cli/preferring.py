"""`lqtui settings`."""

from __future__ import annotations

import sys

import msgspec

from lqtui.cli import output
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths, make_directory
from lqtui.workbench.text_files import write_text
from lqtui.workbench.values import WorkbenchError


def create() -> None:
    """Write a settings file that changes nothing, where there is none."""
    from lqtui.tui.settings import template

    path = Paths.from_environment().settings_file
    if path.exists():
        output.fail(f"{path} is there already; edit it, or move it away")
    try:
        make_directory(path.parent)
        write_text(path, template())
    except (StoreError, WorkbenchError) as error:
        output.fail(str(error), 1)
    print(output.shown(f"wrote {path}"))


def settings(default: bool, check: bool, json: bool) -> None:
    """Show what the person prefers, or what could be; with `check`, fail where the file has a mistake."""
    from lqtui.tui.keys.keymap import ALL_COMMANDS
    from lqtui.tui.settings import own_settings, template

    path = Paths.from_environment().settings_file
    if default:
        print(template(), end="")
        return
    preferences, problems = own_settings(path)
    keys = {command.id: preferences.keys.get(command.id, command.keys) for command in ALL_COMMANDS}
    in_force = msgspec.structs.replace(preferences, keys=keys)
    if json:
        document = {"path": str(path), "exists": path.exists(), "settings": in_force, "problems": problems}
        output.print_json(document)
    else:
        for problem in problems:
            output.note(problem)
        if check:
            print(output.shown(f"{path}: {'no file' if not path.exists() else _count(len(problems))}"))
        else:
            print(output.shown(f"# {path}{'' if path.exists() else ' (not there: all is as it comes)'}"))
            values = msgspec.to_builtins(msgspec.structs.replace(in_force, keys={}))
            for name in (name for name in values if name != "keys"):
                value = msgspec.json.encode(values[name]).decode()
                print(f"# {name} is not set" if value in ("null", '""') else f"{name} = {value}")
            print("\n[keys]")
            for id, of_command in keys.items():
                mine = "" if id not in preferences.keys else "  # yours"
                print(output.shown(f'"{id}" = {msgspec.json.encode(of_command).decode()}{mine}'))
    if problems and check:
        sys.exit(2)


def _count(problems: int) -> str:
    return f"{problems} mistake{'' if problems == 1 else 's'}" if problems else "no mistakes"
