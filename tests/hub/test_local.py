"""What the Hub's cache on this machine holds, and what is removed from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from local_hub import LocalHub

from tests.hub.fetching import ask, fetch

OWNER = "someone/Tiny-GGUF"
F16, Q8 = b"sixteen bits" * 1000, b"eight bits" * 1000


def cached() -> Any:
    return ask("local", "cached_models")


def names() -> list[str]:
    return [model["name"] for model in cached()["models"]]


def have(hub: LocalHub, name: str, content: bytes, repository: str = OWNER, **changes: Any) -> Path:
    """Have a file in the cache, as any tool that uses the library brings it."""
    hub.add(repository, name, content, **changes)
    return fetch(repository, name).path


def test_an_empty_cache_is_no_error(hub_home: Path) -> None:
    found = cached()
    assert found["models"] == [] and found["directory"] == f"{hub_home}/hub" and found["free_bytes"] > 0


def test_models_are_told_with_type_size_path_and_when_they_came(hub: LocalHub) -> None:
    path = have(hub, "tiny-f16.gguf", F16)
    have(hub, "tiny-q8_0.gguf", Q8, "other/Tiny")
    have(hub, "README.md", b"# Tiny")
    newest, oldest = cached()["models"]
    assert (newest["repository"], newest["name"], newest["type"]) == ("other/Tiny", "tiny-q8_0.gguf", "Q8_0")
    assert newest["used"] >= newest["fetched"] >= oldest["fetched"]
    assert (oldest["fitness"], oldest["bytes"], oldest["path"]) == ("base", len(F16), str(path))


def test_the_parts_of_a_split_model_are_one_and_without_one_of_them_it_is_none(hub: LocalHub) -> None:
    first = have(hub, "big-F16-00001-of-00002.gguf", F16)
    assert names() == []
    have(hub, "big-F16-00002-of-00002.gguf", Q8)
    [model] = cached()["models"]
    assert (model["name"], model["bytes"], model["path"]) == ("big-F16.gguf", len(F16 + Q8), str(first))


def test_of_two_versions_the_newer_is_told(hub: LocalHub) -> None:
    have(hub, "tiny-f16.gguf", F16)
    newer = have(hub, "tiny-f16.gguf", Q8, commit="f" * 40)
    [model] = cached()["models"]
    assert model["path"] == str(newer) and model["bytes"] == len(Q8)


def test_what_broken_downloads_left_is_counted(hub: LocalHub) -> None:
    hub.add(OWNER, "tiny-f16.gguf", F16, sent=F16[:5000])
    assert fetch(OWNER, "tiny-f16.gguf").problem
    assert cached()["partial"] == 5000 and cached()["models"] == []
    assert ask("local", "remove", OWNER) == {
        "type": "Removed",
        "models": [],
        "freed_bytes": 5000,
        "kept_files": 0,
    }
    assert cached()["partial"] == 0


def test_a_model_is_removed_with_its_content_and_others_stay(hub: LocalHub, hub_home: Path) -> None:
    have(hub, "tiny-f16.gguf", F16)
    stays = have(hub, "tiny-q8_0.gguf", Q8)
    removed = ask("local", "remove", OWNER, "tiny-f16.gguf")
    assert removed["models"] == ["tiny-f16.gguf"] and removed["freed_bytes"] == len(F16)
    assert names() == ["tiny-q8_0.gguf"] and stays.read_bytes() == Q8
    assert sum(p.stat().st_size for p in hub_home.rglob("blobs/*") if p.is_file()) == len(Q8)


@pytest.mark.parametrize("others", [["README.md"], []])
def test_a_link_out_of_the_cache_is_removed_and_what_it_leads_to_stays(
    hub: LocalHub, hub_home: Path, others: list[str]
) -> None:
    path = have(hub, "tiny-f16.gguf", F16)
    for name in others:
        have(hub, name, b"# Tiny")
    mine = hub_home.parent / "mine.gguf"
    mine.write_bytes(Q8)
    path.unlink()
    path.symlink_to(mine)
    ask("local", "remove", OWNER)
    assert names() == [] and mine.read_bytes() == Q8


def test_all_models_of_a_repository_are_removed_and_its_other_files_stay(hub: LocalHub) -> None:
    have(hub, "tiny-f16.gguf", F16)
    have(hub, "sub/big-F16-00001-of-00002.gguf", F16)
    have(hub, "sub/big-F16-00002-of-00002.gguf", Q8)
    readme = have(hub, "README.md", b"# Tiny")
    removed = ask("local", "remove", OWNER)
    assert removed["models"] == ["sub/big-F16.gguf", "tiny-f16.gguf"] and removed["kept_files"] == 1
    assert names() == [] and readme.read_bytes() == b"# Tiny"


def test_a_repository_of_models_alone_is_removed_whole(hub: LocalHub, hub_home: Path) -> None:
    have(hub, "tiny-f16.gguf", F16)
    have(hub, "tiny-f16.gguf", Q8, commit="f" * 40)
    assert ask("local", "remove", OWNER)["freed_bytes"] == len(F16 + Q8)
    assert not (hub_home / "hub" / "models--someone--Tiny-GGUF").exists()


def test_a_copy_of_a_repository_with_the_same_commits_stays(hub: LocalHub) -> None:
    copies = [f"copy-{number}/Tiny" for number in range(6)]  # which of them is seen first is chance
    for copy in copies:
        have(hub, "tiny-f16.gguf", F16, copy)
    for copy in copies[:3]:
        assert ask("local", "remove", copy)["models"] == ["tiny-f16.gguf"]
    assert sorted(model["repository"] for model in cached()["models"]) == copies[3:]


def test_what_is_not_there_is_not_removed(hub: LocalHub) -> None:
    have(hub, "tiny-f16.gguf", F16)
    assert "has no GGUF model of no/one" in ask("local", "remove", "no/one")["problem"]
    assert "has no other.gguf of someone/Tiny-GGUF" in ask("local", "remove", OWNER, "other.gguf")["problem"]
    assert "is no name of a repository" in ask("local", "remove", "../..")["problem"]
    assert names() == ["tiny-f16.gguf"]


def test_a_damaged_cache_still_tells_of_the_rest(hub: LocalHub, hub_home: Path) -> None:
    have(hub, "tiny-f16.gguf", F16)
    (hub_home / "hub" / "models--no--snapshots").mkdir()
    (hub_home / "hub" / "in-the-way").write_text("")
    broken = have(hub, "x-f16.gguf", Q8, "other/Broken")
    broken.resolve().unlink()
    assert names() == ["tiny-f16.gguf"]


def test_a_cache_that_is_no_folder_is_a_sentence(hub_home: Path) -> None:
    hub_home.mkdir()
    (hub_home / "hub").write_text("")
    assert f"the Hugging Face cache {hub_home}/hub cannot be read" in cached()["problem"]


def test_names_in_the_cache_are_made_harmless(hub: LocalHub, hub_home: Path) -> None:
    path = have(hub, "tiny-f16.gguf", F16)
    path.rename(path.with_name("tiny\x1b[2J-f16.gguf"))
    assert names() == ["tiny�[2J-f16.gguf"]
