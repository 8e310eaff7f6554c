"""A watched process can hide nothing: each way to die or to leak that the campaign looks for is seen."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign.watched import Watched

_PLANTED = "tests.campaign.planted"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def watched(work: Path) -> Iterator[Watched]:
    with Watched(work) as watched:
        yield watched


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (("raise_error",), "traceback"),
        (("refuse", "lqtui: it is no model", "and more"), "no sentence"),
        (("refuse", "lqtui: a defect in lqtui (ValueError)"), "stopped at a defect"),
        (("end", 1), "no sentence"),
        (("end", 3), "ended with 3"),
        (("die", signal.SIGSEGV), "ended with -11"),
        (("take", 4 << 30), "MemoryError"),
    ],
)
def test_a_death_is_seen(fault: tuple[object, ...], sentence: str, watched: Watched) -> None:
    seen = watched.call(f"{_PLANTED}:{fault[0]}", *fault[1:])
    assert len(seen.deaths) == 1 and sentence in seen.deaths[0]


def test_a_hang_is_ended_and_told_with_where_it_stood(watched: Watched) -> None:
    seen = watched.call(f"{_PLANTED}:sleep", 60, seconds=1)
    assert seen.code is None and "hung" in seen.deaths[0] and "planted.py" in seen.deaths[0]


def test_what_is_touched_outside_is_seen(watched: Watched, work: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    (work / "link").symlink_to(tmp_path / "there")
    for fault in (
        ("read", tmp_path / "there"),
        ("read", work / "link"),
        ("write", tmp_path / "new"),
        ("list_folder", tmp_path),
        ("rename", tmp_path / "there", tmp_path / "elsewhere"),
        ("connect", "192.0.2.1"),
    ):
        seen = watched.call(f"{_PLANTED}:{fault[0]}", *map(str, fault[1:]))
        assert seen.leaks, fault


def test_an_escape_that_would_reach_a_terminal_is_seen(watched: Watched) -> None:
    assert watched.call(f"{_PLANTED}:say", "\x1b]0;title\x07").leaks
    assert watched.call(f"{_PLANTED}:say", "\u202egpj.exe").leaks


def test_the_command_works_and_a_refusal_is_neither_death_nor_leak(watched: Watched, work: Path) -> None:
    done = watched.lqtui("--version")
    assert (done.code, done.deaths, done.leaks) == (0, (), ())
    refused = watched.lqtui("plan", work / "none.gguf", "--preset", "Q4_0")
    assert (refused.code, refused.deaths, refused.leaks) == (2, (), ())
    assert "does not exist" in refused.stderr
    noted = watched.call(f"{_PLANTED}:refuse", "lqtui: a note", "lqtui: it is no model")
    assert (noted.code, noted.deaths) == (2, ())
