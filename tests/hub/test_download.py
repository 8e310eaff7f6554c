"""One file of the Hub: how it comes, where it lies, and the sentences where it does not come."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from local_hub import LocalHub

from tests.hub.fetching import fetch

REPOSITORY, NAME = "someone/model", "model.gguf"
CONTENT = random.Random(1).randbytes(300_000)


# How it comes


def test_a_file_comes_with_its_progress_and_lies_in_the_hubs_own_cache(hub: LocalHub, hub_home: Path) -> None:
    hub.add(REPOSITORY, NAME, CONTENT)
    fetched = fetch(REPOSITORY, NAME)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.path.is_relative_to(hub_home / "hub" / "models--someone--model")
    done = [done for done, _ in fetched.steps]
    assert done == sorted(done) and 0 < done[0] < done[-1] == len(CONTENT)
    assert {total for _, total in fetched.steps} == {len(CONTENT)}


def test_a_file_that_is_there_is_not_downloaded_again_and_a_newer_one_is(hub: LocalHub) -> None:
    hub.add(REPOSITORY, NAME, CONTENT)
    first = fetch(REPOSITORY, NAME).path
    assert fetch(REPOSITORY, NAME).path == first
    assert len(hub.asked("/storage")) == 1
    hub.add(REPOSITORY, NAME, CONTENT[::-1], commit="f" * 40)
    assert fetch(REPOSITORY, NAME).path.read_bytes() == CONTENT[::-1]


def test_the_persons_token_goes_to_the_hub_and_not_to_its_storage(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.add(REPOSITORY, NAME, CONTENT)
    assert fetch(REPOSITORY, NAME).path.exists()
    assert {request.authorization for request in hub.asked("/resolve", "HEAD")} == {"Bearer hf_secret"}
    assert {request.authorization for request in hub.asked("/storage")} == {None}


def test_a_download_that_is_cut_goes_on_where_it_was(hub: LocalHub) -> None:
    hub.add(REPOSITORY, NAME, CONTENT, cuts=[150_000])
    assert fetch(REPOSITORY, NAME).path.read_bytes() == CONTENT
    first, second = (request.range for request in hub.asked("/storage"))
    assert first is None and second is not None and second != "bytes=0-"


# Without a connection


def test_without_a_connection_the_hubs_cache_answers(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPOSITORY, NAME, CONTENT)
    there = fetch(REPOSITORY, NAME).path
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch(REPOSITORY, NAME).path == there
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(REPOSITORY, NAME).path == there


def test_a_hub_that_cannot_be_reached_is_named(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch(REPOSITORY, NAME).problem == "127.0.0.1:9 cannot be reached: Connection refused"


def test_offline_mode_asks_nobody(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in fetch(REPOSITORY, NAME).problem
    assert hub.requests == []


def test_a_hub_that_does_not_answer_is_left_after_its_time(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
    hub.answering.clear()
    assert "did not answer in time" in fetch(REPOSITORY, NAME).problem
    assert len(hub.asked("/resolve", "HEAD")) == 1


# What the Hub answers


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "check its name and HF_TOKEN"),
        (403, "ask for access"),
        (404, "has no model.gguf in someone/model"),
        (429, "try again later"),
        (500, "a fault of its own (500)"),
        (503, "a fault of its own (503)"),
        (418, "refuses model.gguf of someone/model (418)"),
    ],
)
def test_a_refusal_is_a_sentence_and_is_not_asked_for_again(hub: LocalHub, status: int, words: str) -> None:
    hub.add(REPOSITORY, NAME, CONTENT, status=status)
    problem = fetch(REPOSITORY, NAME).problem
    assert words in problem and problem.startswith("127.0.0.1:")
    assert len(hub.asked("/resolve", "HEAD")) == 1


def test_a_login_page_is_no_hub(hub: LocalHub) -> None:
    hub.login_page = True
    assert "does not answer as the Hugging Face Hub does" in fetch(REPOSITORY, NAME).problem


def test_a_download_that_ends_too_early_leaves_nothing(hub: LocalHub, hub_home: Path) -> None:
    hub.add(REPOSITORY, NAME, CONTENT, sent=CONTENT[:100_000])
    assert "was cut off" in fetch(REPOSITORY, NAME).problem
    assert not [path for path in hub_home.rglob("*") if path.is_file() and path.stat().st_size >= 60_000]


# The disk


def test_a_cache_that_cannot_be_written_is_named(hub: LocalHub, hub_home: Path) -> None:
    hub.add(REPOSITORY, NAME, CONTENT)
    hub_home.write_text("in the way")
    problem = fetch(REPOSITORY, NAME).problem
    assert f"{hub_home}/hub cannot be used: Not a directory" in problem and "set HF_HOME" in problem


def test_a_full_disk_is_named(hub: LocalHub, hub_home: Path) -> None:
    hub.add(REPOSITORY, NAME, CONTENT)
    full = """
import errno
from huggingface_hub import file_download
def fails(*_, **__): raise OSError(errno.ENOSPC, "No space left on device")
file_download.http_get = fails
"""
    assert (
        f"the disk of the Hugging Face cache {hub_home}/hub is full"
        in fetch(REPOSITORY, NAME, first=full).problem
    )
