"""`lqtui models`: search, list, pull and rm, against a Hub on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_hub import LocalHub, sibling

from tests.cli.running import document, lqtui, refused

OWNER = "someone/Tiny-GGUF"


@pytest.fixture
def stocked(hub: LocalHub, tiny_model: Path) -> LocalHub:
    """A Hub with one repository: a base model, a quantized one, and a file under a name to be wary of."""
    hub.add(OWNER, "tiny-f16.gguf", tiny_model.read_bytes())
    hub.add(OWNER, "tiny-q8_0.gguf", b"eight bits" * 1000)
    hub.repositories[OWNER].downloads = 1234
    return hub


def test_a_model_is_found_listed_pulled_planned_and_removed(
    stocked: LocalHub, hub_home: Path, tiny_model: Path
) -> None:
    [found] = document(lqtui("models", "search", "tiny", "--json"))["repositories"]
    assert (found["id"], found["downloads"], found["license"]) == (OWNER, 1234, "apache-2.0")
    listed = document(lqtui("models", "list", OWNER, "--json"))
    assert [(model["file"], model["type"], model["for"], model["path"]) for model in listed["models"]] == [
        ("tiny-f16.gguf", "F16", "base", None),
        ("tiny-q8_0.gguf", "Q8_0", "quantized", None),
    ]
    pulled = lqtui("models", "pull", OWNER)
    assert pulled.returncode == 0 and "weights fit into" in pulled.stderr
    path = Path(pulled.stdout.removesuffix("\n"))
    assert path.read_bytes() == tiny_model.read_bytes() and path.is_relative_to(hub_home)
    assert document(lqtui("plan", path, "--preset", "uniform_q4_0", "--json"))["file_bytes"] > 0
    [cached] = document(lqtui("models", "list", "--json"))["models"]
    assert (cached["repository"], cached["file"], cached["path"]) == (OWNER, "tiny-f16.gguf", str(path))
    removed = document(lqtui("models", "rm", OWNER, "--json"))
    assert removed.keys() == {"models", "freed_bytes", "kept_files"}
    assert removed["models"] == ["tiny-f16.gguf"] and removed["freed_bytes"] == tiny_model.stat().st_size
    assert document(lqtui("models", "list", "--json"))["models"] == [] and not path.exists()


def test_a_model_that_is_there_is_not_downloaded_again(stocked: LocalHub) -> None:
    first = document(lqtui("models", "pull", f"{OWNER}:q8_0", "--json"))
    assert document(lqtui("models", "pull", f"{OWNER}:tiny-q8_0.gguf", "--json"))["path"] == first["path"]
    assert len(stocked.asked("/storage")) == 1


def test_tables_are_for_people(stocked: LocalHub) -> None:
    assert f"{OWNER}  apache-2.0  2024-08-21      1,234" in lqtui("models", "search", "tiny").stdout
    listed = lqtui("models", "list", OWNER).stdout
    assert "tiny-f16.gguf   F16   base" in listed and "free in" in listed
    assert lqtui("models", "pull", f"{OWNER}:q8_0").returncode == 0
    assert f"{OWNER}:tiny-q8_0.gguf  Q8_0  quantized" in lqtui("models", "list").stdout
    assert "removed tiny-q8_0.gguf, 9.8 KiB" in lqtui("models", "rm", f"{OWNER}:Q8_0").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("pull", f"{OWNER}:q2_k"), "someone/Tiny-GGUF has no GGUF q2_k; it has F16, Q8_0"),
        (("pull", "someone/Tiny-GUF"), "did you mean someone/Tiny-GGUF?"),
        (("pull", "../../etc:passwd"), "is no name of a repository"),
        (("pull", "no/safetensors"), "has no GGUF file; its model is in safetensors"),
        (("list", "someone/gated"), "is gated (401); accept its terms"),
        (("rm", OWNER), "has no GGUF model of someone/Tiny-GGUF"),
        (("rm", f"{OWNER}:f16"), "has no f16 of someone/Tiny-GGUF; it has nothing"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(
    stocked: LocalHub, arguments: tuple[str, ...], sentence: str
) -> None:
    stocked.add("no/safetensors", "model.safetensors", b"weights")
    stocked.add_repository("someone/gated", status=401, error_code="GatedRepo")
    refused(lqtui("models", *arguments, "--json"), sentence)


def test_a_repository_without_gguf_is_a_sentence_and_a_document(stocked: LocalHub) -> None:
    stocked.add("no/safetensors", "model.safetensors", b"weights")
    refused(
        lqtui("models", "list", "no/safetensors"), "has no GGUF file; its model is in safetensors (7 bytes)"
    )
    listed = document(lqtui("models", "list", "no/safetensors", "--json"))
    assert listed["models"] == [] and listed["safetensors_bytes"] == 7


def test_a_search_without_a_finding_says_so(stocked: LocalHub) -> None:
    refused(lqtui("models", "search", "nothing like it"), "has 'nothing like it' in its name", code=1)
    assert document(lqtui("models", "search", "nothing like it", "--json")) == {"repositories": []}


def test_a_hub_that_is_not_there_is_a_failure_and_no_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    for arguments in (("search", "tiny"), ("list", OWNER), ("pull", OWNER)):
        refused(lqtui("models", *arguments), "cannot be reached", code=1)


def test_a_damaged_download_is_refused_and_the_next_one_is_whole(stocked: LocalHub, tiny_model: Path) -> None:
    file = stocked.files[f"/{OWNER}/resolve/main/tiny-f16.gguf"]
    file.sent = file.content[::-1]
    done = lqtui("models", "pull", OWNER)
    assert done.returncode == 1 and done.stdout == "" and "is removed; try again" in done.stderr
    file.sent = None
    path = document(lqtui("models", "pull", OWNER, "--json"))["path"]
    assert Path(path).read_bytes() == tiny_model.read_bytes()


def test_offline_what_is_downloaded_is_still_listed(
    stocked: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lqtui("models", "pull", OWNER).returncode == 0
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert len(document(lqtui("models", "list", "--json"))["models"]) == 1
    refused(lqtui("models", "search", "tiny"), "HF_HUB_OFFLINE is set", code=1)


def test_the_cache_is_where_the_hubs_variables_say(
    stocked: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    path = document(lqtui("models", "pull", OWNER, "--json"))["path"]
    assert path.startswith(f"{tmp_path}/elsewhere/models--someone--Tiny-GGUF/snapshots/")


def test_hostile_names_reach_neither_the_terminal_nor_the_disk(stocked: LocalHub, tmp_path: Path) -> None:
    names = ["../../../../evil.gguf", "e\x1b]0;evil\x07vil-f16.gguf", "\u202efgug.evil-f16.gguf"]
    stocked.repositories[OWNER].more = [sibling(name, b"evil") for name in names]
    listed = lqtui("models", "list", OWNER)
    assert "\x1b" not in listed.stdout and "\u202e" not in listed.stdout and "evil" not in listed.stdout
    assert "3 more under names that lqtui does not use" in listed.stdout
    refused(lqtui("models", "pull", f"{OWNER}:{names[0]}"), "has no GGUF")
    assert not list(tmp_path.rglob("*evil*"))
