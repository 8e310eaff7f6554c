"""Opening a base model: what is read of a good file, and one clear sentence for every bad one."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
from gguf_files import llama_tensors, write_header, write_tiny_llama
from stock_quantize import StockQuantizer

from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import SHARD_HEADER_BYTES, BaseModel
from lqtui.recipe.file_types import FileType
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType

_SIZES = {"blocks": 2, "width": 64, "ffn": 96, "heads": 4, "kv_heads": 2}


def refusal(path: Path) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(EngineError) as caught:
        BaseModel(path)
    sentence = str(caught.value)
    assert "\n" not in sentence and str(path.name) in sentence
    return sentence


def test_the_shape_says_what_the_header_says(tiny_shape: ModelShape, tiny_model: Path) -> None:
    reader = gguf.GGUFReader(tiny_model)
    assert {t.name: t.n_weights for t in tiny_shape.tensors} == {t.name: t.n_elements for t in reader.tensors}
    assert tiny_shape.architecture == "llama"
    assert tiny_shape.block_count == 4
    assert (tiny_shape.heads, tiny_shape.kv_heads) == (4, 2)
    assert tiny_shape.vocab_size == 258
    assert tiny_shape.context_length == 2048
    assert tiny_shape.tied_embeddings
    assert tiny_shape.quantized_types == ()
    assert tiny_shape.file_bytes == tiny_model.stat().st_size


def test_any_part_of_a_split_model_opens_the_whole(tiny_shape: ModelShape, tmp_path: Path) -> None:
    first = write_tiny_llama(tmp_path / "m.gguf", tensors_per_part=10)
    parts = sorted(tmp_path.iterdir())
    assert len(parts) == 4
    for part in parts:
        with BaseModel(part) as base:
            assert base.first_part == first
            assert base.part_paths == parts
            assert base.shape.tensors == tiny_shape.tensors
            assert base.shape.file_bytes == sum(p.stat().st_size for p in parts)


def test_a_whole_model_that_is_merely_named_like_a_part_opens(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "m-00001-of-00002.gguf"
    path.symlink_to(tiny_model)
    with BaseModel(path) as base:
        assert base.part_paths == [path]


def test_a_name_that_is_not_utf8_opens(tiny_model: Path, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/mod\xe8le.gguf"))
    path.symlink_to(tiny_model)
    with BaseModel(path) as base:
        assert base.shape.block_count == 4


def test_an_already_quantized_model_says_so(tiny_model: Path, stock: StockQuantizer, tmp_path: Path) -> None:
    stock.write(tiny_model, tmp_path / "q.gguf", FileType.Q4_0)
    with BaseModel(tmp_path / "q.gguf") as base:
        assert base.shape.quantized_types == (TensorType.Q4_0, TensorType.Q8_0)
        assert base.shape.main_type is TensorType.Q4_0


def test_a_shards_header_always_has_the_same_size(tiny_model: Path) -> None:
    with BaseModel(tiny_model) as base:
        for tensor in base.shape.tensors:
            assert len(base.shard_header(tensor.name, TensorType.F16, 3)) == SHARD_HEADER_BYTES


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        (b"", "is empty"),
        (bytes(4096), "is not a GGUF file"),
        (b"PK\x03\x04 something else entirely", "is not a GGUF file"),
        (b"GG", "is not a GGUF file"),
        (b"GGUF", "damaged or truncated GGUF header"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "damaged or truncated GGUF header"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**62, 1), "damaged or truncated GGUF header"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 2**63 - 1), "damaged or truncated GGUF header"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**60), "damaged or truncated GGUF header"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "names no architecture"),
    ],
)
def test_what_is_no_model_is_refused(contents: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(contents)
    assert sentence in refusal(path)


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.gguf")
    assert "is a directory" in refusal(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "secret.gguf"
    path.write_bytes(tiny_model.read_bytes())
    path.chmod(0)
    assert "Permission denied" in refusal(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.8, 0.98])
def test_a_truncated_header_is_refused(
    share: float, tiny_model: Path, tiny_shape: ModelShape, tmp_path: Path
) -> None:
    (tmp_path / "cut.gguf").write_bytes(tiny_model.read_bytes()[: int(tiny_shape.meta_bytes * share)])
    assert "damaged or truncated" in refusal(tmp_path / "cut.gguf")


@pytest.mark.parametrize("missing", [64, 10_000, 200_000])
def test_truncated_data_is_refused_with_the_size_that_is_missing(
    missing: int, tiny_model: Path, tmp_path: Path
) -> None:
    whole = tiny_model.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[:-missing])
    assert re.search(
        r"is truncated: \S+ ends at byte [\d,]+, the file has [\d,]+", refusal(tmp_path / "cut.gguf")
    )


def test_a_model_with_a_part_missing_names_it(tmp_path: Path) -> None:
    first = write_tiny_llama(tmp_path / "m.gguf", tensors_per_part=10)
    missing = tmp_path / first.name.replace("00001-of", "00003-of")
    missing.unlink()
    assert missing.name in refusal(first)


def test_a_part_under_another_name_is_refused(tmp_path: Path) -> None:
    first = write_tiny_llama(tmp_path / "m.gguf", tensors_per_part=10)
    assert "is one of 4 parts of a model" in refusal(first.rename(tmp_path / "model.gguf"))


def test_a_vocabulary_or_metadata_file_is_refused(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "vocab.gguf", metadata_only=True)
    assert "holds no model weights" in refusal(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w.add_block_count(2**32 - 1), "claims 4,294,967,295 blocks"),
        (lambda w: w.add_block_count(0), "holds no model weights"),
        (lambda w: (w.add_block_count(2), w.add_custom_alignment(64)), "aligns its tensors in its own way"),
        (lambda w: w.add_key_value("llama.block_count", "two", gguf.GGUFValueType.STRING), "holds no model"),
    ],
)
def test_a_header_that_no_engine_can_run_is_refused(
    change: Callable[[gguf.GGUFWriter], None], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_file_type(writer: gguf.GGUFWriter, _file_type: int) -> None:
        writer.kv_data[0].pop("llama.block_count", None)
        change(writer)

    monkeypatch.setattr(gguf.GGUFWriter, "add_file_type", add_file_type)
    path = write_tiny_llama(tmp_path / "odd.gguf")
    assert sentence in refusal(path)


def test_a_tensor_without_weights_is_refused(tmp_path: Path) -> None:
    tensors = llama_tensors(**_SIZES, vocab=64) | {"blk.0.empty.weight": (0, 64)}
    path = write_header(tmp_path / "empty.gguf", "llama", tensors, **_SIZES)
    assert "blk.0.empty.weight holds no weights" in refusal(path)


_FUZZ = """
import sys, random
from pathlib import Path
from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.recipe import Recipe, resolve
whole, path, header = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3])
opened = 0
for seed in range(600):
    dice, contents = random.Random(seed), bytearray(whole)
    for _ in range(dice.choice((1, 1, 2, 8))):
        contents[dice.randrange(4, header)] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    path.write_bytes(contents)
    print("seed", seed, file=sys.stderr)
    try:
        with BaseModel(path) as base:
            resolve(base.shape, Recipe("any", FileType.Q4_K_M))
            opened += 1
    except (EngineError, RecipeError) as error:
        assert "\\n" not in str(error), error
print(opened)
"""


def test_no_damage_to_a_header_crashes_the_process(tiny_model: Path, tmp_path: Path) -> None:
    with BaseModel(tiny_model) as base:
        header = base.shape.meta_bytes
    done = subprocess.run(
        [sys.executable, "-c", _FUZZ, tiny_model, tmp_path / "fuzz.gguf", str(header)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stderr[-1500:]
    assert 0 < int(done.stdout) < 600
