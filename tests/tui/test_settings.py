"""The settings file: what is wrong in it is named and stays at its default, and all else is kept."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from lqtui.tui.keys.keymap import ALL_COMMANDS, full_keymap, keymap_problems
from lqtui.tui.settings import own_settings, template
from lqtui.workbench.preferences import Notifications, Preferences, SettingsRead


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def read(file: Path, text: str) -> SettingsRead:
    file.write_text(text, encoding="utf-8")
    return own_settings(file)


def test_without_a_file_everything_has_its_default(file: Path) -> None:
    assert own_settings(file) == SettingsRead(Preferences())


def test_the_template_changes_nothing_and_each_of_its_lines_is_valid(file: Path) -> None:
    assert read(file, template()) == SettingsRead(Preferences())
    lines = [line.removeprefix("# ") for line in template().splitlines()]
    values = [line for line in lines if " = " in line]
    said = tomllib.loads("\n".join(values))
    assert len(values) == len(said) == len(Preferences.__struct_fields__) - 1 + len(ALL_COMMANDS)
    settings = [line for line in values if not line.startswith('"')]
    keys = [line for line in values if line.startswith('"')]
    found = read(file, "\n".join([*settings, "[keys]", *keys]))
    assert found.problems == ()
    assert found.preferences.keys == {command.id: command.keys for command in ALL_COMMANDS}
    assert found.preferences.theme == "textual-light" and found.preferences.tour is False


def test_everything_that_is_right_is_taken(file: Path) -> None:
    text = (
        'theme = "nord"\nascii = true\nnotifications = "never"\n[keys]\ntype.q4 = "f6, 9"\n"app.quit" = "Q"'
    )
    found = read(file, text)
    keys = {"type.q4": "f6, 9", "app.quit": "Q"}
    assert found == SettingsRead(
        Preferences(theme="nord", ascii=True, notifications=Notifications.NEVER, keys=keys)
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("thme = 'nord'", "has the unknown setting 'thme'; did you mean 'theme'?"),
        ("theme = 'nort'", "there is no theme 'nort'; did you mean 'nord'?"),
        ("theme = 3", "theme is 3, but must be the name of a theme"),
        ("ascii = 'yes'", 'ascii is "yes", but must be true or false'),
        (
            "notifications = 'loud'",
            'notifications is "loud", but must be "auto", "always" or "never"',
        ),
        ("keys = 'vim'", 'keys is "vim", but must be a table of commands and their keys'),
        ("[keys]\ntype.q4 = 4", 'the keys of type.q4 must be a text such as "f6"'),
        ("[keys]\ntype.q5 = '5'", "there is no command 'type.q5'; did you mean 'type.q8'?"),
        (
            "[keys]\ntype.q4 = 'F6'",
            "type.q4: there is no key 'F6'; did you mean 'f6'?",
        ),
        (
            "[keys]\ntype.q4 = 'shift+q'",
            "there is no key 'shift+q'; did you mean 'Q'?",
        ),
        ("[keys]\ntype.q4 = ''", "type.q4: a key is missing"),
        ("[keys]\ntype.q4 = 'ctrl+q'", "type.q4: ctrl+q always leaves lqtui; choose another key"),
        (
            "[keys]\ntype.q4 = 'ctrl+i'",
            "ctrl+i is the same as tab to a terminal",
        ),
        ("[keys]\ntype.q4 = '8'", "type.q8 and type.q4 both have the key '8' in the layers"),
        ("[keys]\njobs.cancel = 'r'", "jobs.cancel and run.measure both have the key 'r' in the jobs"),
        ("[keys]\ngrid.down = 'o'", "grid.down and model.open both have the key 'o' in the layers"),
        ("theme = \ntour = no", "is not valid TOML: Invalid value (at line 1, column 9)"),
    ],
)
def test_what_is_wrong_is_one_sentence_that_names_file_and_setting(
    file: Path, text: str, sentence: str
) -> None:
    found = read(file, text)
    assert found.preferences == Preferences()
    assert any(sentence in problem for problem in found.problems), found.problems
    assert all(problem.startswith(str(file)) and "\n" not in problem for problem in found.problems)


def test_one_wrong_setting_costs_no_other(file: Path) -> None:
    found = read(file, "theme = 'nord'\nascii = 'yes'\ntour = false\n[keys]\n'type.q4' = '8'")
    assert (found.preferences.theme, found.preferences.tour) == ("nord", False)
    assert found.preferences.ascii is None and not found.preferences.keys
    assert len(found.problems) == 2


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"x = 1\n" * (1 << 18)])
def test_a_file_that_is_no_settings_file_gives_the_defaults(file: Path, raw: bytes) -> None:
    file.write_bytes(raw)
    found = own_settings(file)
    assert found.preferences == Preferences() and len(found.problems) == 1
    file.unlink()
    file.mkdir()
    assert "cannot be read: Is a directory" in own_settings(file).problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "[keys]\n" + "a." * 100_000 + "a = 'f6'",
        "theme = " + "[" * 100_000,
        "theme = " + "1" * 5000,
        "theme = 0x" + "f" * 5000,
        "ascii = {" + "a = {" * 5000,
    ],
)
def test_settings_that_no_reader_should_follow_are_a_short_sentence_at_once(file: Path, text: str) -> None:
    file.write_text(text)
    read = own_settings(file)
    assert read.preferences == Preferences()
    assert len(read.problems) == 1 and len(read.problems[0]) < 500


def test_a_pipe_in_the_place_of_the_settings_is_told_and_not_waited_for(file: Path) -> None:
    os.mkfifo(file)
    assert "pipe" in own_settings(file).problems[0]


def test_two_commands_may_swap_their_keys_and_share_one_where_they_always_did() -> None:
    assert keymap_problems({"type.q4": "8", "type.q8": "4"}) == []
    assert keymap_problems({"run.measure": "f6"}) == []


def test_the_default_keys_are_ones_that_a_person_may_give() -> None:
    keys = {command.id: command.keys for command in ALL_COMMANDS}
    assert keymap_problems(keys) == []


def test_leaving_keeps_the_key_that_it_always_has() -> None:
    assert full_keymap({"app.quit": "Q"})["app.quit"] == "Q,ctrl+q"
    assert full_keymap({}) == {}
