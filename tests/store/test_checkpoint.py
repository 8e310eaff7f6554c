"""Models in safetensors: what a folder holds, and every way in which it is no whole model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from checkpoints import write_checkpoint, write_safetensors

from lqtui.store.checkpoint import is_checkpoint, read_checkpoint
from lqtui.store.errors import StoreError


def test_all_parts_together_tell_the_weights_and_the_type_of_most(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", parts=3)
    write_safetensors(folder / "norms.safetensors", {"norm": ("F32", (5,), 20)})
    found = read_checkpoint(folder)
    assert is_checkpoint(folder)
    assert (found.name, found.n_weights, found.dtype, found.code) == ("model", 3 * 4 + 5, "BF16", "")


@pytest.mark.parametrize("repository", ["models--Qwen--Qwen2-0.5B", "models--Qwen2-0.5B"])
def test_a_snapshot_in_the_hubs_cache_is_called_as_its_repository(tmp_path: Path, repository: str) -> None:
    folder = write_checkpoint(tmp_path / repository / "snapshots" / "0123abcd")
    assert read_checkpoint(folder).name == "Qwen2-0.5B"


def test_a_folder_without_a_model_says_what_it_lacks(tmp_path: Path) -> None:
    assert not is_checkpoint(tmp_path)
    with pytest.raises(StoreError, match=r"has no config\.json"):
        read_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert not is_checkpoint(tmp_path)
    with pytest.raises(StoreError, match=r"has no \.safetensors file"):
        read_checkpoint(tmp_path)
    with pytest.raises(StoreError, match="does not exist"):
        read_checkpoint(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="is not a folder"):
        read_checkpoint(tmp_path / "config.json")


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", parts=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(StoreError, match=r"lacks model-00002-of-00003\.safetensors"):
        read_checkpoint(folder)


def test_a_part_that_is_cut_off_is_told_with_its_sizes(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    with pytest.raises(StoreError, match=f"cut off: it has {len(whole) - 3:,} of {len(whole):,} bytes"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02",
        b"\xff" * 64,
        b"\x02" + bytes(7) + b"[]",
        b"\x07" + bytes(7) + b'{"a":1}',
        b"\x02" + bytes(7) + b"{",
        (50).to_bytes(8, "little") + b'{"a":{"dtype":"F16","shape":[2],"data_offsets":[0]}}'[:50],
    ],
)
def test_what_is_no_safetensors_file_is_told(tmp_path: Path, raw: bytes) -> None:
    folder = write_checkpoint(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(StoreError, match="damaged or not a safetensors file"):
        read_checkpoint(folder)


def test_a_pointer_of_git_lfs_is_told_as_such(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(StoreError, match="git lfs pull"):
        read_checkpoint(folder)


def test_weights_are_needed(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    write_safetensors(folder / "model.safetensors", {})
    with pytest.raises(StoreError, match="hold no weights"):
        read_checkpoint(folder)


def test_a_damaged_config_is_told(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    (folder / "config.json").write_text("{")
    with pytest.raises(StoreError, match=r"config\.json is damaged"):
        read_checkpoint(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    "named", [{"AutoTokenizer": [None, "tok.Tok"]}, {"AutoConfig": "tok.Tok"}, ["tok.Tok"], "tok.Tok"]
)
def test_python_that_comes_with_a_model_is_found(tmp_path: Path, file: str, named: object) -> None:
    folder = write_checkpoint(tmp_path / "model")
    (folder / file).write_text(json.dumps({"auto_map": named}))
    assert read_checkpoint(folder).code == "tok.Tok"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json", "model.safetensors"])
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(StoreError, match=r"pipe or device|has no"):
        read_checkpoint(folder)


@pytest.mark.parametrize("raw", [b"\xda\xff{", b'{"weight_map": ' + b"[" * 200_000])
def test_an_index_that_is_no_text_or_nests_without_end_is_damaged(raw: bytes, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    (folder / "model.safetensors.index.json").write_bytes(raw)
    with pytest.raises(StoreError, match="is damaged"):
        read_checkpoint(folder)


@pytest.mark.parametrize("shape", ["[-4, 4]", f"[{', '.join(['9223372036854775807'] * 300)}]", "[1e3]"])
@pytest.mark.parametrize("offsets", ["[0, 32]", "[-1, 32]"])
def test_extents_that_no_tensor_has_are_damage(shape: str, offsets: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    entry = f'{{"a": {{"dtype": "F16", "shape": {shape}, "data_offsets": {offsets}}}}}'.encode()
    (folder / "more.safetensors").write_bytes(len(entry).to_bytes(8, "little") + entry + bytes(32))
    with pytest.raises(StoreError, match="is damaged"):
        read_checkpoint(folder)
