"""Help as a newcomer reads it, in a terminal of 80 columns."""

from __future__ import annotations

import os
import re

import pytest
from typer.main import get_command

from lqtui.cli.commands import app
from tests.cli.running import lqtui

COMMANDS: dict[str, object] = get_command(app).commands  # type: ignore[attr-defined]
ENVIRONMENT = os.environ | {"COLUMNS": "80", "TERM": "dumb"}


def test_the_first_help_cuts_no_word_off_and_tells_the_apps_own_options_and_how_to_begin() -> None:
    said = lqtui("--help", env=ENVIRONMENT).stdout
    assert "..." not in said.replace("[ARGS]...", "")
    listed = re.search(r"Commands:\n(.*?)\n\n", said, re.DOTALL)
    assert listed is not None
    named = {line.split()[0] for line in listed[1].splitlines() if re.match(r"  \S", line)}
    assert named == set(COMMANDS) - {"open"}
    assert "--fresh" in said and "Examples:" in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"open"}))
def test_every_command_says_in_a_sentence_what_it_does_and_something_of_each_option(name: str) -> None:
    command = COMMANDS[name]
    assert re.match(r"[A-Z][^.]+[.:;]", command.help or ""), command.help  # type: ignore[attr-defined]
    for parameter in getattr(command, "params", []):
        assert getattr(parameter, "help", "said"), (name, parameter.name)
