"""What is found on the Hub and in a repository, and the sentences where that is not told, or not so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from local_hub import COMMIT, Lie, LocalHub, sibling

from tests.hub.fetching import ask, fetch

OWNER = "someone/Tiny-GGUF"
F16 = b"sixteen bits" * 1000


def search(query: str = "tiny") -> Any:
    return ask("search", "search", query)


def listed(repository: str = OWNER) -> Any:
    return ask("repository", "list_repository", repository)


def models(repository: str = OWNER) -> dict[str, Any]:
    return {model["name"]: model for model in listed(repository)["models"]}


# Searching


def test_a_search_tells_of_repositories_with_gguf_the_most_downloaded_first(hub: LocalHub) -> None:
    hub.add_repository("a/Tiny-GGUF", downloads=5, likes=2)
    hub.add_repository("b/tiny-chat-GGUF", downloads=70, gated="manual", tags=("gguf", "license:mit"))
    hub.add_repository("c/tiny", downloads=900, tags=("safetensors",))
    hub.add_repository("d/Other-GGUF", downloads=9)
    first, second = search()["repositories"]
    assert first == {
        "id": "b/tiny-chat-GGUF",
        "downloads": 70,
        "likes": 0,
        "updated": "2024-08-21",
        "gated": True,
        "private": False,
        "license": "mit",
    }
    assert (second["id"], second["likes"], second["gated"]) == ("a/Tiny-GGUF", 2, False)


def test_a_search_that_finds_nothing_is_no_error(hub: LocalHub) -> None:
    assert search()["repositories"] == []


def test_names_that_no_repository_can_have_are_left_out_and_others_made_harmless(hub: LocalHub) -> None:
    told = {"downloads": "many", "likes": -3, "lastModified": None, "tags": ["license:\x1b[31mred\u202e", 5]}
    names = ["../../etc", "a/b\x1b[2J", "a/b\u202e", "a/good", 7]
    hub.lie = Lie(json.dumps([{"id": name, **told} for name in names]).encode())
    [only] = search()["repositories"]
    assert (only["id"], only["downloads"], only["likes"], only["updated"]) == ("a/good", 0, 0, "")
    assert only["license"].isprintable() and only["license"].endswith("red�")


# A repository


def test_files_are_told_with_size_digest_type_and_what_they_are_for(hub: LocalHub) -> None:
    names = ["tiny-f16.gguf", "tiny-BF16.gguf", "tiny-Q4_K_M.gguf", "UD/tiny-UD-IQ2_XXS.gguf", "tiny.gguf"]
    for name in [*names, "mmproj-F16.gguf", "tiny.imatrix.gguf", "README.md"]:
        hub.add(OWNER, name, F16)
    found = models()
    assert {name: (m["type"], m["fitness"]) for name, m in found.items()} == {
        "tiny-f16.gguf": ("F16", "base"),
        "tiny-BF16.gguf": ("BF16", "base"),
        "tiny-Q4_K_M.gguf": ("Q4_K_M", "quantized"),
        "UD/tiny-UD-IQ2_XXS.gguf": ("IQ2_XXS", "quantized"),
        "tiny.gguf": ("", "unknown"),
        "mmproj-F16.gguf": ("F16", "companion"),
        "tiny.imatrix.gguf": ("", "companion"),
    }
    [file] = found["tiny-f16.gguf"]["files"]
    assert file == {
        "path": "tiny-f16.gguf",
        "bytes": len(F16),
        "sha256": sibling("", F16)["lfs"]["sha256"],
    }


def test_the_parts_of_a_split_model_are_one_and_missing_ones_are_told(hub: LocalHub) -> None:
    for number in (1, 2):
        hub.add(OWNER, f"F16/big-F16-0000{number}-of-00002.gguf", F16)
    hub.add(OWNER, "half-F16-00001-of-00002.gguf", F16)
    found = models()
    assert set(found) == {"F16/big-F16.gguf", "half-F16.gguf"}
    whole = found["F16/big-F16.gguf"]
    assert [file["path"][-22:] for file in whole["files"]] == [
        "F16-00001-of-00002.gguf"[-22:],
        "F16-00002-of-00002.gguf"[-22:],
    ]
    assert whole["missing"] == 0 and found["half-F16.gguf"]["missing"] == 1


def test_where_no_name_tells_the_type_the_number_of_parameters_does(hub: LocalHub) -> None:
    hub.add(OWNER, "tiny.gguf", F16)
    hub.repositories[OWNER].details = {"total": len(F16) // 2, "architecture": "qwen2\x1b"}
    found = listed()
    assert (found["models"][0]["type"], found["models"][0]["fitness"]) == ("16-bit", "base")
    assert (found["parameters"], found["architecture"]) == (len(F16) // 2, "qwen2�")
    hub.repositories[OWNER].details = {"total": len(F16) * 2}
    assert models()["tiny.gguf"]["fitness"] == "quantized"


def test_what_is_downloaded_and_what_is_begun_is_told(hub: LocalHub) -> None:
    file = hub.add(OWNER, "tiny-f16.gguf", F16, sent=F16[:5000])
    assert fetch(OWNER, "tiny-f16.gguf").problem
    begun = models()["tiny-f16.gguf"]
    assert (begun["here"], begun["partial"]) == (None, 5000)
    file.sent = None
    path = fetch(OWNER, "tiny-f16.gguf").found
    assert models()["tiny-f16.gguf"]["here"] == path


def test_a_repository_without_gguf_says_what_it_has_instead(hub: LocalHub) -> None:
    hub.add(OWNER, "model.safetensors", F16)
    found = listed()
    assert found["models"] == [] and found["safetensors"] == len(F16)


def test_files_with_names_that_lead_elsewhere_are_counted_and_left_out(hub: LocalHub) -> None:
    names = [
        "../evil.gguf",
        "/etc/evil.gguf",
        "a/../../evil.gguf",
        "C:evil.gguf",
        "a\\evil.gguf",
        "e\x1b[2J.gguf",
    ]
    hub.add(OWNER, "tiny-f16.gguf", F16)
    hub.repositories[OWNER].more = [sibling(name, F16) for name in names]
    found = listed()
    assert [model["name"] for model in found["models"]] == ["tiny-f16.gguf"]
    assert found["unusable"] == len(names)


def test_a_name_of_too_many_parts_costs_no_more_than_another(hub: LocalHub) -> None:
    hub.add_repository(OWNER, more=[sibling(f"{n}-00001-of-99999.gguf", F16) for n in range(1000)])
    assert {model["missing"] for model in models().values()} == {99_998}


def test_a_part_of_none_is_a_model_of_its_own(hub: LocalHub) -> None:
    names = ["a-00001-of-00000.gguf", "b-00003-of-00002.gguf", "c-00000-of-00002.gguf"]
    hub.add_repository(OWNER, more=[sibling(name, F16) for name in names])
    assert list(models()) == names


def test_more_files_than_any_repository_has_are_not_looked_at(hub: LocalHub) -> None:
    lists = {"id": OWNER, "siblings": [{"rfilename": f"{n}.gguf"} for n in range(100_001)]}
    hub.lie = Lie(json.dumps(lists).encode())
    assert "lists more files than lqtui looks at (100,000)" in listed()["problem"]


def test_a_version_and_digests_that_are_none_are_not_told(hub: LocalHub, hub_home: Path) -> None:
    outside = hub_home.parent / "outside" / "tiny-f16.gguf"
    outside.parent.mkdir(parents=True)
    outside.write_bytes(F16)
    (hub_home / "hub" / "models--someone--Tiny-GGUF" / "snapshots").mkdir(parents=True)
    lists = {"id": OWNER, "sha": "../../../../outside", "siblings": [sibling("tiny-f16.gguf", F16)]}
    lists["siblings"][0]["lfs"]["sha256"] = "\ud800"
    hub.lie = Lie(json.dumps(lists).encode())
    found = listed()
    assert found["commit"] == "" and found["models"][0]["here"] is None
    assert found["models"][0]["files"][0]["sha256"] == ""


def test_answers_that_are_nested_too_deep_are_none(hub: LocalHub) -> None:
    hub.lie = Lie(b"[" * 1_000_000)
    assert "does not answer as the Hugging Face Hub does" in listed()["problem"]


def test_a_ring_of_addresses_is_a_sentence(hub: LocalHub) -> None:
    hub.lie = Lie(status=302, headers={"Location": "/api/models"})
    assert listed()["problem"].endswith("Exceeded maximum allowed redirects")


# Where it is not told


def test_a_wrong_name_is_told_with_those_near_to_it(hub: LocalHub) -> None:
    hub.add_repository("Qwen/Qwen2-0.5B-Instruct-GGUF")
    problem = listed("qwen/Qwen2-0.5B-Instruct-GUF")["problem"]
    assert "has no qwen/Qwen2-0.5B-Instruct-GUF" in problem
    assert problem.endswith("did you mean Qwen/Qwen2-0.5B-Instruct-GGUF?")


def test_what_wants_a_login_is_not_proposed_in_its_own_place(hub: LocalHub) -> None:
    hub.add_repository(OWNER, status=401, error_code="RepoNotFound")
    problem = listed(OWNER)["problem"]
    assert "or wants a login" in problem and "did you mean" not in problem


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "GatedRepo", "is gated (401); accept its terms on its page"),
        (403, "GatedRepo", "is gated (403); accept its terms on its page"),
        (403, "", "ask for access on its page, and set HF_TOKEN"),
        (404, "RepoNotFound", "has no someone/Tiny-GGUF"),
        (429, "", "is asked too often from here (429); try again in 5 minutes"),
        (500, "", "has a fault of its own (500); try again in 5 minutes"),
        (503, "", "has a fault of its own (503)"),
        (418, "", "refuses someone/Tiny-GGUF (418)"),
    ],
)
def test_a_refusal_is_a_sentence(hub: LocalHub, status: int, code: str, words: str) -> None:
    hub.add_repository(OWNER, status=status, error_code=code)
    assert words in listed()["problem"]
    assert len(hub.asked("/api/models/")) == 1


@pytest.mark.parametrize(
    "lie",
    [
        Lie(b"<!doctype html>", kind="text/html"),
        Lie(b"<!doctype html>"),
        Lie(b"[1, 2"),
        Lie(b"17"),
        Lie(b'"text"'),
        Lie(b'[["list"]]'),
        Lie(b'{"siblings": 5}'),
    ],
)
@pytest.mark.parametrize("question", [search, listed])
def test_what_is_no_answer_of_the_hub_is_called_that(hub: LocalHub, lie: Lie, question: Any) -> None:
    hub.lie = lie
    assert "does not answer as the Hugging Face Hub does" in question()["problem"]


@pytest.mark.parametrize("question", [search, listed])
def test_an_answer_without_an_end_is_not_read_on(hub: LocalHub, question: Any) -> None:
    hub.lie = Lie(endless=True)
    assert "gives an answer without an end" in question()["problem"]


@pytest.mark.parametrize("question", [search, listed])
def test_a_search_or_list_is_asked_for_once(hub: LocalHub, question: Any) -> None:
    hub.lie = Lie(status=503)
    assert "has a fault of its own (503)" in question()["problem"]
    assert len(hub.asked("/api/models")) == 1


def test_a_hub_that_cannot_be_reached_is_told_at_once(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert search()["problem"] == "127.0.0.1:9 cannot be reached: Connection refused"
    assert listed()["problem"] == "127.0.0.1:9 cannot be reached: Connection refused"


def test_offline_nobody_is_asked(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in search()["problem"] and "HF_HUB_OFFLINE is set" in listed()["problem"]
    assert hub.requests == []


@pytest.mark.parametrize("name", ["../x", "a/b/c", "a b", "", "a/b\x1b[2J", "a/..b"])
def test_a_name_that_no_repository_has_is_not_asked_for(hub: LocalHub, name: str) -> None:
    problem = listed(name)["problem"]
    assert "is no name of a repository" in problem and problem.isprintable()
    assert hub.requests == []


# The person's token


def test_the_token_goes_to_the_hub_alone(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    elsewhere = f"http://localhost:{hub.port}/elsewhere"
    hub.lie = Lie(status=302, headers={"Location": elsewhere})
    assert search()["problem"] and listed()["problem"]
    hub.lie = Lie(b"[]", headers={"Link": f'<{elsewhere}>; rel="next"'})
    assert search()["problem"]
    assert {request.authorization for request in hub.asked("/api/")} == {"Bearer hf_secret"}
    assert len(hub.asked("/elsewhere")) == 3
    assert {request.authorization for request in hub.asked("/elsewhere")} == {None}


def test_a_token_that_the_hub_gives_back_is_not_shown(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret-token")
    hub.add(OWNER, "hf_secret-token-f16.gguf", F16)
    hub.repositories[OWNER].tags = ("gguf", "license:hf_secret-token")
    hub.repositories[OWNER].details = {"architecture": "a hf_secret-token"}
    hub.add_repository("tiny/hf_secret-token")
    assert "secret" not in json.dumps(listed()) and "secret" not in json.dumps(search())


def test_no_log_of_the_library_gives_access(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret-token")
    program = """
import logging
from lqtui.hub.session import guard
guard()
log = logging.getLogger("huggingface_hub.file_download")
log.warning("Error while downloading from %s", "https://me:word@host/a?X-Signature=abc&b=hf_secret-token\x1b[2J")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "Error while downloading from https://host/a?…\n"


def test_a_token_is_used_for_what_is_private(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.add(OWNER, "tiny-f16.gguf", F16)
    assert listed()["commit"] == COMMIT
    assert {request.authorization for request in hub.requests} == {"Bearer hf_secret"}
