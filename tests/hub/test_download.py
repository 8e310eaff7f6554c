"""One file of the Hub: how it comes, where it lies, and the sentences where it does not come."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from local_hub import COMMIT, LOGIN_PAGE, Lie, LocalHub

from tests.hub.fetching import Fetched, ask, fetch

REPOSITORY, NAME = "someone/model", "model.gguf"
CONTENT = random.Random(1).randbytes(300_000)


def large_files(hub_home: Path) -> list[Path]:
    """What is on the disk of the content."""
    return [path for path in hub_home.rglob("*") if path.is_file() and path.stat().st_size >= 60_000]


# How it comes


def test_a_file_comes_with_its_progress_and_lies_in_the_hubs_own_cache(hub: LocalHub, hub_home: Path) -> None:
    hub.add(REPOSITORY, NAME, CONTENT)
    fetched = fetch(REPOSITORY, NAME)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.path.is_relative_to(hub_home / "hub" / "models--someone--model")
    done = [done for done, _ in fetched.steps]
    assert done == sorted(done) and 0 == done[0] < done[1] < done[-1] == len(CONTENT)
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


# What the Hub says that is not so


def test_content_with_another_digest_is_refused_removed_and_fetched_anew(
    hub: LocalHub, hub_home: Path
) -> None:
    file = hub.add(REPOSITORY, NAME, CONTENT, sent=CONTENT[::-1])
    problem = fetch(REPOSITORY, NAME).problem
    assert "model.gguf came with the digest" in problem and "is removed; try again" in problem
    assert large_files(hub_home) == []
    file.sent = None
    assert fetch(REPOSITORY, NAME).path.read_bytes() == CONTENT


def test_content_without_an_end_is_left_where_it_gets_too_long(hub: LocalHub, hub_home: Path) -> None:
    hub.add(REPOSITORY, NAME, CONTENT, endless=True)
    assert "is longer than the 300,000 bytes that the Hub tells of" in fetch(REPOSITORY, NAME).problem
    assert large_files(hub_home) == []


@pytest.mark.parametrize(
    "told",
    [
        {"X-Linked-Etag": '"../../../../../outside"'},
        {"X-Linked-Etag": '"/tmp/outside"'},
        {"X-Repo-Commit": "../../../../../outside"},
    ],
)
def test_a_version_that_would_be_a_path_is_not_used(
    hub: LocalHub, hub_home: Path, told: dict[str, str]
) -> None:
    hub.add(REPOSITORY, NAME, CONTENT, told=told)
    assert "names no version of a file" in fetch(REPOSITORY, NAME).problem
    assert hub.asked("/storage") == [] and not hub_home.exists()
    assert not list(hub_home.parent.rglob("*outside*"))


def test_a_version_that_is_the_persons_token_is_not_used(
    hub: LocalHub, hub_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret-token")
    hub.add(REPOSITORY, NAME, CONTENT, told={"X-Linked-Etag": '"hf_secret-token"'})
    assert "names no version of a file" in fetch(REPOSITORY, NAME).problem
    assert not hub_home.exists()


@pytest.mark.parametrize("etag", [".", "..", ".hidden", f"{64 * 'a'}.incomplete", f"{64 * 'a'}.lock"])
def test_a_version_that_would_be_another_files_place_is_not_used(hub: LocalHub, etag: str) -> None:
    hub.add(REPOSITORY, NAME, CONTENT, told={"X-Linked-Etag": f'"{etag}"'})
    assert "names no version of a file" in fetch(REPOSITORY, NAME).problem
    assert hub.asked("/storage") == []


def test_a_size_that_no_file_has_is_no_answer_of_the_hub(hub: LocalHub, hub_home: Path) -> None:
    hub.add(REPOSITORY, NAME, CONTENT, told={"X-Linked-Size": "-5"})
    assert "does not answer as the Hugging Face Hub does" in fetch(REPOSITORY, NAME).problem
    assert not hub_home.exists()


def test_what_was_verified_is_what_is_used_whatever_the_hub_tells_of_next(
    hub: LocalHub, hub_home: Path
) -> None:
    later = {"X-Linked-Etag": '"another"', "X-Linked-Size": "999999"}
    hub.add(REPOSITORY, NAME, CONTENT, told_later=later)
    assert fetch(REPOSITORY, NAME).path.read_bytes() == CONTENT
    assert len(hub.asked("/resolve", "HEAD")) == 1 and len(hub.asked("/storage")) == 1
    assert [path.name for path in hub_home.rglob("blobs/*")] == [hashlib.sha256(CONTENT).hexdigest()]


def test_a_version_that_is_here_with_other_content_is_not_used(hub: LocalHub) -> None:
    hub.add(REPOSITORY, NAME, b"what a liar told of")
    assert fetch(REPOSITORY, NAME).path.read_bytes() == b"what a liar told of"
    hub.add(REPOSITORY, NAME, CONTENT)  # of the same commit
    assert fetch(REPOSITORY, NAME).path.read_bytes() == CONTENT


def test_a_content_that_was_cut_in_the_cache_is_fetched_anew(hub: LocalHub) -> None:
    hub.add(REPOSITORY, NAME, CONTENT)
    os.truncate(fetch(REPOSITORY, NAME).path.resolve(), 1000)
    assert fetch(REPOSITORY, NAME).path.read_bytes() == CONTENT


def test_without_a_connection_no_other_version_stands_in_for_the_one_that_was_asked_for(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(REPOSITORY, NAME, CONTENT)
    there = fetch(REPOSITORY, NAME).path
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch(REPOSITORY, NAME, commit=COMMIT).path == there
    assert "cannot be reached" in fetch(REPOSITORY, NAME, commit="f" * 40).problem


@pytest.mark.parametrize("packed", ["gzip, gzip", "br", "zstd", "x-bomb"])
def test_an_answer_that_could_grow_without_bounds_is_not_unpacked(hub: LocalHub, packed: str) -> None:
    hub.lie = Lie(gzip.compress(gzip.compress(bytes(1 << 20))), headers={"Content-Encoding": packed})
    problem = ask("repository", "list_repository", REPOSITORY)["problem"]
    assert "packs its answer in a way that was not asked for" in problem


def test_an_answer_that_is_packed_as_asked_for_is_read(hub: LocalHub) -> None:
    hub.lie = Lie(gzip.compress(b"[]"), headers={"Content-Encoding": "gzip"})
    assert ask("search", "search", "x")["repositories"] == []


# What the Hub gives in pieces alone

_IN_PIECES = """
from huggingface_hub import constants, file_download
constants.MAX_HTTP_DOWNLOAD_SIZE = 1000
def put_together(incomplete_path, xet_file_data, headers, expected_size, **_):
    assert headers["authorization"] == "Bearer hf_secret-token"
    incomplete_path.write_bytes(open("{pieces}", "rb").read())
file_download.xet_get = put_together
"""


def in_pieces(hub: LocalHub, pieces: Path, permits: str) -> Fetched:
    """Fetch a file whose pieces are these, and that are told to be had with a permit from an address."""
    hub.add(
        REPOSITORY,
        NAME,
        CONTENT,
        told={"X-Xet-Hash": 64 * "e", "X-Xet-Refresh-Route": permits},
    )
    return fetch(REPOSITORY, NAME, first=_IN_PIECES.format(pieces=pieces))


def test_a_file_in_pieces_is_verified_as_a_whole(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret-token")
    pieces = tmp_path / "pieces"
    for wrong, sentence in ((CONTENT[::-1], "it was damaged on its way"), (CONTENT[1:], "with another size")):
        pieces.write_bytes(wrong)
        assert sentence in in_pieces(hub, pieces, f"{hub.endpoint}/permit").problem
    pieces.write_bytes(CONTENT)
    assert in_pieces(hub, pieces, f"{hub.endpoint}/permit").path.read_bytes() == CONTENT


def test_the_token_is_not_taken_elsewhere_for_a_permit(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret-token")
    problem = in_pieces(hub, tmp_path / "never read", f"http://localhost:{hub.port}/permit").problem
    assert "does not say where the pieces of model.gguf are" in problem


@pytest.mark.parametrize(
    "name", ["../model.gguf", "a/../../model.gguf", "/etc/model.gguf", "a\\b.gguf", "a\x1b[2J.gguf"]
)
def test_a_name_that_leads_elsewhere_or_hides_what_it_is_is_not_even_asked_for(
    hub: LocalHub, name: str
) -> None:
    hub.add(REPOSITORY, name, CONTENT)
    problem = fetch(REPOSITORY, name).problem
    assert "is no name that lqtui would write a file under" in problem and "\x1b" not in problem
    assert hub.requests == []


def test_a_token_is_in_no_sentence(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_s\xe9cret")
    hub.add(REPOSITORY, NAME, CONTENT)
    problem = fetch(REPOSITORY, NAME).problem
    assert "token" in problem and "set HF_TOKEN anew" in problem and "cret" not in problem
    monkeypatch.setenv("HF_TOKEN", "127.0.0.1")  # as good as any, and in the sentence
    hub.files.clear()
    assert "has no model.gguf" in (problem := fetch(REPOSITORY, NAME).problem) and "127.0.0.1" not in problem


def test_the_password_of_an_address_is_in_no_sentence(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint.replace("//", "//someone:password@"))
    hub.add(REPOSITORY, NAME, CONTENT, status=500)
    assert fetch(REPOSITORY, NAME).problem.startswith(f"127.0.0.1:{hub.port} has a fault")


# What a broken download leaves


def test_a_download_that_ended_too_early_goes_on_where_it_was_in_another_process(
    hub: LocalHub, hub_home: Path
) -> None:
    file = hub.add(REPOSITORY, NAME, CONTENT, sent=CONTENT[:100_000])
    assert "was cut off; try again, and it goes on from there" in fetch(REPOSITORY, NAME).problem
    assert [path.suffix for path in large_files(hub_home)] == [".incomplete"]
    file.sent = None
    fetched = fetch(REPOSITORY, NAME)
    assert fetched.path.read_bytes() == CONTENT
    assert [request.range for request in hub.asked("/storage")] == [None, "bytes=100000-"]
    assert fetched.steps[0] == [100_000, 300_000]
    assert not list(hub_home.rglob("*.incomplete"))


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_storage_that_refuses_is_asked_once_and_what_came_before_is_kept(
    hub: LocalHub, hub_home: Path, status: int
) -> None:
    file = hub.add(REPOSITORY, NAME, CONTENT, sent=CONTENT[:100_000])
    assert fetch(REPOSITORY, NAME).problem
    file.sent, file.storage_status = None, status
    assert f"({status})" in fetch(REPOSITORY, NAME).problem
    assert len(hub.asked("/storage")) == 2 and len(large_files(hub_home)) == 1
    file.storage_status = 200
    assert fetch(REPOSITORY, NAME).steps[0] == [100_000, 300_000]


def test_a_partial_file_that_is_too_long_is_begun_anew(hub: LocalHub, hub_home: Path) -> None:
    file = hub.add(REPOSITORY, NAME, CONTENT, sent=CONTENT[:100_000])
    assert fetch(REPOSITORY, NAME).problem
    [partial] = large_files(hub_home)
    partial.write_bytes(b"x" * 400_000)
    file.sent = None
    assert fetch(REPOSITORY, NAME).path.read_bytes() == CONTENT
    assert hub.asked("/storage")[-1].range is None


def test_neither_a_page_nor_another_part_spoils_what_came_before(hub: LocalHub, hub_home: Path) -> None:
    file = hub.add(REPOSITORY, NAME, CONTENT, sent=CONTENT[:100_000])
    assert fetch(REPOSITORY, NAME).problem
    file.sent, file.ignores_range, file.kind = LOGIN_PAGE, True, "text/html; charset=utf-8"
    assert "does not answer as the Hugging Face Hub does" in fetch(REPOSITORY, NAME).problem
    file.sent, file.ignores_range, file.kind, file.shifted = None, False, "application/zip", 7
    assert "sends another part of a file than was asked for" in fetch(REPOSITORY, NAME).problem
    file.shifted = 0
    fetched = fetch(REPOSITORY, NAME)
    assert fetched.steps[0] == [100_000, 300_000] and fetched.path.read_bytes() == CONTENT


def test_a_storage_that_cannot_go_on_sends_the_whole(hub: LocalHub) -> None:
    file = hub.add(REPOSITORY, NAME, CONTENT, sent=CONTENT[:100_000], ignores_range=True)
    assert fetch(REPOSITORY, NAME).problem
    file.sent = None
    assert fetch(REPOSITORY, NAME).path.read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"x", b"\0"], ids=["other bytes", "what a power cut leaves"])
def test_a_partial_file_with_other_bytes_is_found_by_its_digest_and_all_of_it_comes_anew(
    left: bytes, hub: LocalHub, hub_home: Path
) -> None:
    file = hub.add(REPOSITORY, NAME, CONTENT, sent=CONTENT[:100_000])
    assert fetch(REPOSITORY, NAME).problem
    [partial] = large_files(hub_home)
    partial.write_bytes(left * 100_000)
    file.sent = None
    assert fetch(REPOSITORY, NAME).path.read_bytes() == CONTENT
    assert [request.range for request in hub.asked("/storage")][-2:] == ["bytes=100000-", None]


def test_two_processes_that_want_one_file_download_it_once(hub: LocalHub) -> None:
    file = hub.add(REPOSITORY, NAME, CONTENT, hold=threading.Event())
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(fetch, REPOSITORY, NAME) for _ in range(2)]
        while len(hub.asked("/resolve", "HEAD")) < 2:
            time.sleep(0.01)
        assert file.hold is not None
        file.hold.set()
        assert {future.result().path.read_bytes() for future in both} == {CONTENT}
    assert len(hub.asked("/storage")) == 1


# The disk


def test_a_disk_without_room_is_told_before_anything_is_fetched(hub: LocalHub, hub_home: Path) -> None:
    hub.add(REPOSITORY, NAME, CONTENT)
    small = """
import shutil
usage = shutil.disk_usage("/")
shutil.disk_usage = lambda _: usage._replace(free=1000)
"""
    problem = fetch(REPOSITORY, NAME, first=small).problem
    assert problem.startswith("model.gguf needs 0.3 MiB and some to spare, but only 0.0 MiB are free")
    assert f"{hub_home}/hub; make room, or set HF_HOME" in problem
    assert hub.asked("/storage") == []


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
