"""A short campaign of hostile names, and proof that it would see what they do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.campaign import names
from tests.campaign.watched import Seen


def test_no_name_does_anything(tmp_path: Path) -> None:
    row = names.run(8, 20, tmp_path, print)
    assert row.clean, row.details


@pytest.mark.parametrize(
    ("document", "ending"),
    [
        ("a\x1b[2J", ".csv"),
        ("\u202eb", ".md"),
        ("<p><script>x</script>", ".html"),
        ("<p onclick='x'>", ".html"),
        ("<svg><script/></svg>", ".svg"),
        ("<svg>&</svg>", ".svg"),
    ],
)
def test_a_report_that_is_more_than_text_is_seen(document: str, ending: str) -> None:
    assert names.unsafe(document, ending) and not names.unsafe("<svg><g/></svg>", ending)


@pytest.mark.parametrize("sent", ["\x1b]0;owned4242\a", "\x1b[4242m", "\x9b", "\u202e", "\x1bP4242\x1b\\"])
def test_what_a_terminal_is_sent_of_a_name_is_seen(sent: str) -> None:
    assert names.OBEYED.search(f"\x1b[2J{sent}") and not names.OBEYED.search("\x1b[38;5;42m\x1b]9;x\a")


def test_a_script_that_runs_what_a_name_says_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unquoted(case: names.Case, *arguments: str | Path) -> Seen:
        seen = case.watched.lqtui(*arguments)
        out = Path(arguments[-1])
        out.write_text(re.sub("^default_model='(.*)'$", r'default_model="\1"', out.read_text(), flags=re.M))
        return seen

    monkeypatch.setattr(names, "PIECES", ("$(touch {canary})",))
    assert names.run(1, 1, tmp_path / "quoted", print).clean
    monkeypatch.setattr(names.Case, "lqtui", unquoted)
    assert not names.run(1, 1, tmp_path / "unquoted", print).clean
