"""Opening a base model: what is read of a good file, and one clear sentence for every bad one."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
from gguf_files import llama_tensors, write_header, write_tiny_llama
from stock_quantize import StockQuantizer

from lqtui.llama import native
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


def _text(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


def _header(*keys: bytes, tensors: tuple[bytes, ...] = (), version: int = 3) -> bytes:
    """The beginning of a file of some keys and tensors, and room for data."""
    top = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join((*keys, *tensors))
    return top + bytes(-len(top) % 32 + 4096)


def _tensor(name: bytes, extents: tuple[int, ...] = (32,), kind: int = 0, offset: int = 0) -> bytes:
    return _text(name) + struct.pack(f"<I{len(extents)}QIQ", len(extents), *extents, kind, offset)


def _key(name: bytes, kind: int, value: bytes) -> bytes:
    return _text(name) + struct.pack("<I", kind) + value


_ALIGNED = _key(b"general.alignment", 4, struct.pack("<I", 32))


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        (_header(version=1), "its version is 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "the other byte order"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "claims 1,152,921,504,606,846,976 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "and 1,152,921,504,606,846,976 keys"),
        (b"GGUF" + struct.pack("<IQQ", 3, 60_000, 0), "passes the end of the file"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 60_000) + bytes(64), "a key has 0 bytes"),
        (_header(*(_key(b"%d" % i, 9, struct.pack("<IQ", 8, 1 << 21)) for i in range(3))), "passes its end"),
        (_header(_key(b"k", 8, struct.pack("<Q", 1 << 60))), "passes the end of the file"),
        (_header(_key(b"k", 9, struct.pack("<IQ", 4, 1 << 62))), "passes the end of the file"),
        (_header(_key(b"k", 9, struct.pack("<IQ", 8, 1 << 60))), "or of too much"),
        (_header(_key(b"k", 9, struct.pack("<IQQ", 8, 1, 1 << 63))), "passes the end of the file"),
        (_header(_key(b"k", 9, struct.pack("<IQIQ", 9, 1, 4, 0))), "or of too much"),
        (_header(_key(b"k", 13, bytes(8))), "of an unknown type"),
        (_header(_ALIGNED, _ALIGNED), "has the key general.alignment twice"),
        (_header(_key(b"general.alignment", 10, struct.pack("<Q", 32))), "no number of 32 bits"),
        (_header(_key(b"general.alignment", 4, struct.pack("<I", 0))), "no power of two"),
        (_header(_key(b"general.alignment", 4, struct.pack("<I", 48))), "no power of two"),
        (_header(_key(b"a\0b", 4, bytes(4))), "a key is not text"),
        (_header(_key(b"\x1b[2J", 4, bytes(4))), "a key is not text"),
        (_header(_key(b"x" * (1 << 16), 4, bytes(4))), "a key has 65,536 bytes"),
        (_header(tensors=(_tensor(b""),)), "a tensor's name has 0 bytes"),
        (_header(tensors=(_tensor(b"x" * 64),)), "a tensor's name has 64 bytes"),
        (_header(tensors=(_tensor(b"x\0y"),)), "a tensor's name is not text"),
        (_header(tensors=(_tensor(b"\xff"),)), "a tensor's name is not text"),
        (_header(tensors=(_tensor("a\u202eb".encode()),)), "a tensor's name is not text"),
        (_header(tensors=(_tensor(b"a"), _tensor(b"a", offset=128))), "holds a twice"),
        (_header(tensors=(_tensor(b"a", (1,) * 5),)), "has 5 dimensions"),
        (_header(tensors=(_tensor(b"a", (1 << 32, 1 << 32)),)), "extents that are impossible at F32"),
        (_header(tensors=(_tensor(b"a", (1 << 63,)),)), "extents that are impossible at F32"),
        (_header(tensors=(_tensor(b"a", (33,), kind=2),)), "extents that are impossible at Q4_0"),
        (_header(tensors=(_tensor(b"a", kind=31),)), "a: "),
        (_header(tensors=(_tensor(b"a", offset=64),)), "does not lie where the tensor before it ends"),
        (_header(tensors=(_tensor(b"a"), _tensor(b"b"))), "b does not lie where the tensor before it ends"),
        (_header(tensors=(_tensor(b"a", (1 << 20,)),)), "is truncated: a ends at byte 4,194,368"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_native_code_sees_no_header_that_claims_what_cannot_be(
    contents: bytes, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unseen(*_: object) -> object:
        raise AssertionError("native code was called")

    real = native.ggml()
    monkeypatch.setattr(real, "gguf_init_from_file", unseen)
    path = tmp_path / "bad.gguf"
    path.write_bytes(contents)
    assert sentence in refusal(path)


def test_a_header_that_claims_more_than_a_terabyte_of_nothing_holds_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sparse.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1 << 36, 1 << 36))
    os.truncate(path, 1 << 40)
    tracemalloc.start()
    try:
        assert "damaged or truncated GGUF header" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_pipe_and_a_device_are_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")  # to open it would wait for a writer
    assert "not a file but a pipe or device" in refusal(tmp_path / "pipe.gguf")
    (tmp_path / "zero.gguf").symlink_to("/dev/zero")
    assert "not a file but a pipe or device" in refusal(tmp_path / "zero.gguf")


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.gguf").symlink_to("loop.gguf")
    assert "cannot be read" in refusal(tmp_path / "loop.gguf")


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("llama.block_count", -1, "claims -1 blocks"),
        ("llama.embedding_length", -1, "llama.embedding_length is -1"),
        ("llama.context_length", 1 << 60, "llama.context_length is 1,152,921,504,606,846,976"),
        ("llama.attention.head_count", 1 << 31, "llama.attention.head_count is 2,147,483,648"),
        ("general.architecture", "llama\x1b[2J", "names no architecture"),
        ("general.architecture", "x" * 70_000, "names no architecture"),
    ],
)
def test_a_number_or_a_name_beyond_sense_is_refused(
    key: str, value: int | str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_file_type(writer: gguf.GGUFWriter, _file_type: int) -> None:
        kind = gguf.GGUFValueType.STRING if isinstance(value, str) else gguf.GGUFValueType.INT64
        writer.kv_data[0].pop(key, None)
        writer.add_key_value(key, value, kind)

    monkeypatch.setattr(gguf.GGUFWriter, "add_file_type", add_file_type)
    assert sentence in refusal(write_tiny_llama(tmp_path / "odd.gguf"))


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
