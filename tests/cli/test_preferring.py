"""`lqtui settings`: where the file is, what it sets, and what is wrong with it."""

from __future__ import annotations

import tomllib

import pytest

from lqtui.store.paths import Paths
from lqtui.tui.keys.keymap import ALL_COMMANDS
from tests.cli.running import document, lqtui, refused


@pytest.fixture
def file(paths: Paths):
    paths.config.mkdir(parents=True)
    return paths.settings_file


def test_settings_are_told_with_their_file_and_every_key(file) -> None:
    none = lqtui("settings")
    assert none.stdout.startswith(f"# {file} (not there: all is as it comes)\n") and none.returncode == 0
    file.write_text('theme = "nord"\n[keys]\n"type.q4" = "f6"\n')
    told = document(lqtui("settings", "--json"))
    assert told["path"] == str(file) and told["exists"] and told["problems"] == []
    assert told["settings"]["theme"] == "nord" and told["settings"]["keys"]["type.q4"] == "f6"
    assert set(told["settings"]["keys"]) == {command.id for command in ALL_COMMANDS}
    said = lqtui("settings").stdout
    assert tomllib.loads(said)["keys"] == told["settings"]["keys"]  # it can be put into the file as it is
    assert '"type.q4" = "f6"  # yours' in said.splitlines() and said.count("# yours") == 1
    assert lqtui("settings", "--check").stdout == f"{file}: no mistakes\n"


def test_mistakes_are_told_one_by_one_and_fail_only_a_check(file) -> None:
    file.write_text('thme = "nord"\nascii = 3\n')
    checked = lqtui("settings", "--check")
    assert checked.returncode == 2 and checked.stdout == f"{file}: 2 mistakes\n"
    assert checked.stderr.splitlines() == [
        f"lqtui: {file} has the unknown setting 'thme'; did you mean 'theme'?",
        f"lqtui: {file}: ascii is 3, but must be true or false",
    ]
    assert lqtui("settings").returncode == 0
    assert len(document(lqtui("settings", "--json"))["problems"]) == 2


def test_the_default_is_a_file_to_begin_with_and_is_never_written_over_another(file) -> None:
    assert lqtui("settings", "--create").stdout == f"wrote {file}\n"
    assert file.read_text() == lqtui("settings", "--default").stdout
    assert lqtui("settings", "--check").stdout == f"{file}: no mistakes\n"
    refused(lqtui("settings", "--create"), f"{file} is there already")
