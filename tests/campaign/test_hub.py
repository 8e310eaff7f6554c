"""A short campaign of a Hub that lies, and proof that it would see who believes one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from local_hub import LocalHub, Request

from tests.campaign import hub
from tests.campaign.hub_lies import TOKEN
from tests.campaign.watched import Seen

CONTENT = b"true"


def test_no_lie_is_believed(tmp_path: Path) -> None:
    row = hub.run(9, 5, tmp_path, print)
    assert row.clean, row.details


@pytest.fixture
def servers() -> Iterator[tuple[LocalHub, LocalHub]]:
    both = LocalHub(), LocalHub()
    yield both
    for server in both:
        server.close()


def pulled(work: Path, content: bytes) -> Seen:
    """A download that is said to be done, of this content."""
    path = work / "huggingface" / "file"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return Seen(0, f"{path}\n", "", 1.0, 1, ())


def test_nothing_is_wrong_with_what_is_true(tmp_path: Path, servers: tuple[LocalHub, LocalHub]) -> None:
    assert hub.judged([pulled(tmp_path, CONTENT)], CONTENT, servers, tmp_path) == hub.Outcome((), (), ())


def test_wrong_bytes_are_seen(tmp_path: Path, servers: tuple[LocalHub, LocalHub]) -> None:
    assert hub.judged([pulled(tmp_path, b"lies")], CONTENT, servers, tmp_path).lost


@pytest.mark.parametrize("place", ["home/logs/hub.log", "huggingface/blobs/x", "elsewhere", ".stderr"])
def test_a_token_that_is_kept_is_seen(place: str, tmp_path: Path, servers: tuple[LocalHub, LocalHub]) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"Bearer {TOKEN}")
    assert hub.judged([pulled(tmp_path, CONTENT)], CONTENT, servers, tmp_path).leaks


def test_a_token_that_another_server_gets_is_seen(tmp_path: Path, servers: tuple[LocalHub, LocalHub]) -> None:
    for number, request in enumerate(
        (
            Request("GET", "/x", None, f"Bearer {TOKEN}"),
            Request("GET", f"/x?token={TOKEN}", None, None),
            Request("GET", "/x", None, None, "", f"session={TOKEN}"),
        ),
        1,
    ):
        servers[1].requests.append(request)
        leaks = hub.judged([pulled(tmp_path, CONTENT)], CONTENT, servers, tmp_path).leaks
        assert len(leaks) == number


def test_a_cache_that_is_filled_and_files_elsewhere_are_seen(
    tmp_path: Path, servers: tuple[LocalHub, LocalHub]
) -> None:
    seen = pulled(tmp_path, CONTENT)
    (tmp_path / "huggingface" / "more").write_bytes(bytes(5 << 20))
    (tmp_path / "outside").write_text("")
    assert len(hub.judged([seen], CONTENT, servers, tmp_path).leaks) == 2


def test_a_command_that_took_too_much_memory_is_seen(
    tmp_path: Path, servers: tuple[LocalHub, LocalHub]
) -> None:
    seen = Seen(1, "", "lqtui: no", 1.0, 2 << 30, ())
    assert hub.judged([seen], CONTENT, servers, tmp_path).deaths
