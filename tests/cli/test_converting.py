"""`lqtui convert`: where the GGUF goes, and the sentences of what cannot be converted."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import StandIn, write_checkpoint, write_stand_in
from local_hub import LocalHub

from tests.cli.running import document, lqtui, refused


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = write_stand_in(tmp_path / "tools")
    monkeypatch.setenv("LQTUI_CONVERTER", str(found.checkout))
    monkeypatch.setenv("LQTUI_CONVERTER_PYTHON", str(found.python))
    return found


def test_a_folder_becomes_a_gguf_that_lqtui_opens(
    tmp_path: Path, stand_in: StandIn, tiny_model: Path
) -> None:
    folder, out = write_checkpoint(tmp_path / "a model", gguf=tiny_model), tmp_path / "out.gguf"
    told = document(lqtui("convert", folder, "-o", out, "--json"))
    assert told == {"out": str(out), "file_bytes": tiny_model.stat().st_size}
    assert document(lqtui("plan", out, "--preset", "uniform_q4_0", "--json"))["model"] == "out"


@pytest.mark.parametrize(
    ("out_type", "name"), [("F16", "-m-F16.gguf"), ("bf16", "-m-BF16.gguf"), ("auto", "-m-BF16.gguf")]
)
def test_without_a_name_it_goes_into_the_present_folder(
    tmp_path: Path, stand_in: StandIn, tiny_model: Path, out_type: str, name: str
) -> None:
    write_checkpoint(tmp_path / "models" / "-m", gguf=tiny_model)
    here = tmp_path / "here"
    here.mkdir()
    done = lqtui("convert", "--type", out_type, "--", "../models/-m", cwd=here)
    assert done.returncode == 0, done.stderr
    assert str(here / name) in done.stdout
    assert [path.name for path in here.iterdir()] == [name]
    assert stand_in.called["arguments"][:2] == ["--outtype", out_type.lower()]  # type: ignore[index]


def test_a_chosen_converter_is_taken(tmp_path: Path, stand_in: StandIn, tiny_model: Path) -> None:
    other = write_stand_in(tmp_path / "other")
    folder, out = write_checkpoint(tmp_path / "m", gguf=tiny_model), tmp_path / "out.gguf"
    assert lqtui("convert", folder, "-o", out, "--converter", other.script).returncode == 0
    assert other.called


def test_what_cannot_be_converted_is_one_sentence(tmp_path: Path, stand_in: StandIn) -> None:
    refused(lqtui("convert", tmp_path / "nowhere"), "does not exist")
    refused(lqtui("convert", tmp_path), "has no config.json")
    folder = write_checkpoint(tmp_path / "m", "refuses")
    refused(lqtui("convert", folder, "--type", "Q4_0"), "--type is one of F16, BF16, F32 and auto")
    out = tmp_path / "out.gguf"
    done = lqtui("convert", folder, "-o", out)
    assert done.returncode == 2 and "FooForCausalLM is not supported" in done.stderr.splitlines()[-1]
    assert not out.exists()


def test_a_repository_on_the_hub_is_downloaded_and_converted(
    tmp_path: Path, stand_in: StandIn, tiny_model: Path, hub: LocalHub
) -> None:
    folder = write_checkpoint(tmp_path / "made", gguf=tiny_model, parts=2)
    for file in folder.iterdir():
        hub.add("some/Tiny-1B", file.name, file.read_bytes())
    for other in ("consolidated.safetensors", "onnx/model.safetensors", "modeling.py", "README.md"):
        hub.add("some/Tiny-1B", other, b"something else")
    done = lqtui("convert", "some/Tiny-1B", "--json", cwd=tmp_path)
    assert document(done)["out"] == str(tmp_path / "Tiny-1B-F16.gguf")
    assert (tmp_path / "Tiny-1B-F16.gguf").read_bytes() == tiny_model.read_bytes()
    assert "Tiny-1B" in stand_in.called["arguments"]  # type: ignore[operator]
    for other in ("consolidated", "onnx", "modeling", "README"):
        assert not hub.asked(f"/{other}", "HEAD")
    downloaded = hub.asked("safetensors")
    assert downloaded
    assert lqtui("convert", "some/Tiny-1B", cwd=tmp_path).returncode == 0
    assert hub.asked("safetensors") == downloaded  # it is in the cache


def test_a_repository_without_safetensors_is_told(stand_in: StandIn, hub: LocalHub) -> None:
    hub.add("some/GGUF", "model-f16.gguf", b"GGUF")
    refused(lqtui("convert", "some/GGUF"), "has no model in safetensors; `lqtui models list some/GGUF`")
    refused(lqtui("convert", "some/typo"), "there is no folder some/typo here, and on the Hub: ")
