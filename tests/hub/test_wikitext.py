"""WikiText-2 out of its archive, or a sentence on what came in its place."""

from __future__ import annotations

from local_hub import LOGIN_PAGE, WIKITEXT, LocalHub, archive

from tests.hub.fetching import fetch_wikitext

MEMBER = "wikitext-2-raw/wiki.test.raw"


def test_it_is_the_raw_test_set_out_of_the_archive(hub: LocalHub) -> None:
    members = {"wikitext-2-raw/wiki.train.raw": b"train", MEMBER: " = Café = \n".encode()}
    hub.add(*WIKITEXT, archive(members))
    assert fetch_wikitext().found == " = Café = \n"


def test_a_page_in_place_of_the_archive_is_named_to_be_deleted(hub: LocalHub) -> None:
    hub.add(*WIKITEXT, LOGIN_PAGE)
    problem = fetch_wikitext().problem
    assert f"/{WIKITEXT[1]} is not the archive that it should be" in problem and "delete it" in problem


def test_a_damaged_archive_is_named_to_be_deleted(hub: LocalHub) -> None:
    whole = archive({MEMBER: b"text " * 1000})
    hub.add(*WIKITEXT, whole[:50] + bytes([whole[50] ^ 255]) + whole[51:])
    assert "delete it" in fetch_wikitext().problem


def test_an_archive_without_the_text_is_refused(hub: LocalHub) -> None:
    hub.add(*WIKITEXT, archive({"../wiki.test.raw": b"text"}))
    assert fetch_wikitext().problem.endswith(f"{WIKITEXT[1]} has no {MEMBER}")


def test_what_is_not_utf8_is_refused(hub: LocalHub) -> None:
    hub.add_wikitext(b"caf\xe9")
    assert "is not UTF-8 text" in fetch_wikitext().problem


def test_a_text_that_would_fill_the_memory_is_not_read(hub: LocalHub) -> None:
    hub.add_wikitext(bytes((16 << 20) + 1))
    assert "would have 16,777,217 bytes" in fetch_wikitext().problem


def test_an_empty_text_is_refused(hub: LocalHub) -> None:
    hub.add_wikitext("")
    assert "would have 0 bytes" in fetch_wikitext().problem
