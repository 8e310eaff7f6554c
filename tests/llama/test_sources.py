"""Tensors are copied from a quantized file byte for byte, and from none of another model."""

from __future__ import annotations

import filecmp
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_files import write_tiny_llama
from imatrices import random_imatrix

from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.llama.quantize import fill_pool, write_model
from lqtui.llama.same_model import check_same_model, differing_keys
from lqtui.llama.sources import Sources
from lqtui.recipe.file_types import FileType
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_type
from lqtui.recipe.types import TensorType
from lqtui.store.imatrix_file import open_imatrix
from lqtui.store.pool import Pool

pytestmark = pytest.mark.usefixtures("engine")

MIX = Recipe("mix", FileType.Q4_K_S, {"blk.0.attn_q.weight": TensorType.F16})
WIDE = {"blocks": 2, "width": 256, "ffn": 512}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose rows divide into the blocks of every type."""
    return write_tiny_llama(tmp_path_factory.mktemp("wide") / "wide.gguf", **WIDE)  # type: ignore[arg-type]


def write(model: Path, recipe: Recipe, out: Path) -> Plan:
    with BaseModel(model) as base:
        plan = resolve(base.shape, recipe)
        number = plan.file_type.number
        write_model(
            base, plan.encodings, number, out, None, 2, lambda done, total: None, plan.imatrix, plan.file
        )
    return plan


def quantized(path: Path, digest: str = "f" * 64) -> QuantizedFile:
    with BaseModel(path) as model:
        return QuantizedFile(str(path), digest, {tensor.name: tensor.type for tensor in model.shape.tensors})


def copying(recipe: Recipe, path: Path) -> Recipe:
    return Recipe(recipe.name, recipe.base, recipe.overrides, file=quantized(path))


def data_of(path: Path) -> dict[str, bytes]:
    with BaseModel(path) as model:
        return {name: model.data(name).tobytes() for name in model.shape.by_name}


@pytest.fixture
def weighted(wide: Path, tmp_path: Path) -> Path:
    """The mix, quantized by an importance matrix: other bytes at the same types."""
    with BaseModel(wide) as base:
        imatrix = open_imatrix(random_imatrix(tmp_path / "m.gguf", base.shape)).describe()
    out = tmp_path / "weighted.gguf"
    write(wide, Recipe(MIX.name, MIX.base, MIX.overrides, imatrix=imatrix), out)
    return out


def test_the_copy_of_a_file_is_that_file(wide: Path, tmp_path: Path) -> None:
    original, copy = tmp_path / "original.gguf", tmp_path / "copy.gguf"
    write(wide, MIX, original)
    write(wide, copying(MIX, original), copy)
    assert filecmp.cmp(original, copy, shallow=False)


def test_the_copy_has_the_files_bytes_where_quantizing_gives_others(
    wide: Path, weighted: Path, tmp_path: Path
) -> None:
    write(wide, MIX, tmp_path / "plain.gguf")
    write(wide, copying(MIX, weighted), tmp_path / "copy.gguf")
    assert data_of(tmp_path / "copy.gguf") == data_of(weighted) != data_of(tmp_path / "plain.gguf")


def test_an_edited_copy_is_quantized_where_it_was_edited_alone(
    wide: Path, weighted: Path, tmp_path: Path
) -> None:
    name = "blk.1.ffn_up.weight"
    with BaseModel(wide) as base:
        plan = resolve(base.shape, copying(MIX, weighted))
    write(wide, with_type(plan, [name], TensorType.Q6_K), tmp_path / "edited.gguf")
    write(wide, Recipe("q6", FileType.Q6_K), tmp_path / "q6.gguf")
    edited, q6, its = (data_of(p) for p in (tmp_path / "edited.gguf", tmp_path / "q6.gguf", weighted))
    assert edited == its | {name: q6[name]}


@pytest.mark.parametrize("part", ["first", "last"])
def test_a_split_file_is_copied_whole(part: str, wide: Path, tmp_path: Path) -> None:
    original, copy = tmp_path / "original.gguf", tmp_path / "copy.gguf"
    write(wide, MIX, original)
    parts = split(original, tmp_path / "split.gguf")
    write(wide, copying(MIX, parts[0 if part == "first" else -1]), copy)
    assert len(parts) > 2 and filecmp.cmp(original, copy, shallow=False)


def test_a_split_base_model_is_copied_onto(tmp_path: Path) -> None:
    wide = write_tiny_llama(tmp_path / "w.gguf", tensors_per_part=5, **WIDE)  # type: ignore[arg-type]
    original, copy = tmp_path / "original.gguf", tmp_path / "copy.gguf"
    write(wide, MIX, original)
    write(wide, copying(MIX, original), copy)
    assert filecmp.cmp(original, copy, shallow=False)


def test_pool_shards_are_kept_apart_by_file_and_hold_its_bytes(
    wide: Path, weighted: Path, tmp_path: Path
) -> None:
    entry = Pool(tmp_path / "pool").entry("0" * 64, "engine")
    recipe, path = copying(MIX, weighted), weighted
    with BaseModel(wide) as base, Sources({"f" * 64: path}) as sources, entry.lock():
        for each in (MIX, recipe):
            plan = resolve(base.shape, each)
            fill_pool(base, plan.encodings, entry, 1, lambda done, total: None, sources=sources)
    found = {path.parent.name: path for path in entry.directory.rglob("blk.1.attn_q.weight.gguf")}
    assert found.keys() == {"q4_k", f"q4_k-of-{'f' * 64}"}
    its = data_of(weighted)["blk.1.attn_q.weight"]
    shards = {name: path.read_bytes()[1024 : 1024 + len(its)] for name, path in found.items()}
    assert shards[f"q4_k-of-{'f' * 64}"] == its != shards["q4_k"]
    assert [p.parent.name for p in entry.directory.rglob("blk.0.attn_q.weight.gguf")] == ["f16"]


def with_one_changed(path: Path, out: Path, name: str) -> Path:
    """A copy of a file with one bit of one tensor flipped."""
    at = next(t.data_offset for t in gguf.GGUFReader(path).tensors if t.name == name)
    whole = path.read_bytes()
    out.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    return out


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ("norm", r"a fine-tune: its output_norm\.weight holds other values"),
        ("kept", r"a fine-tune: its blk\.0\.attn_q\.weight holds other values"),
        ("deeper", r"is of another model: it has blk\.2\.\S+ and \d+ more tensors, which wide lacks"),
        ("shallower", r"is of another model: it has no blk\.1\.\S+, which wide has"),
        ("wider", r"is of another model: its \S+ is 512\b.*, and that of wide is 256\b"),
        ("gone", "does not exist"),
        ("cut", "is truncated"),
        ("retyped", r"has changed: it no longer holds \S+ as Q4_K"),
    ],
)
def test_the_file_of_another_model_is_refused_and_nothing_is_written(
    other: str, sentence: str, wide: Path, tmp_path: Path
) -> None:
    original, out, path = tmp_path / "original.gguf", tmp_path / "out.gguf", tmp_path / "other.gguf"
    plan = write(wide, MIX, original)
    shapes = {"deeper": {"blocks": 3}, "shallower": {"blocks": 1}, "wider": {"width": 512}}
    if other in shapes:
        model = write_tiny_llama(tmp_path / "m.gguf", **WIDE | shapes[other])  # type: ignore[arg-type]
        write(model, Recipe("q", FileType.Q4_K_S), path)
    elif other in ("norm", "kept"):
        name = {"norm": "output_norm.weight", "kept": "blk.0.attn_q.weight"}[other]
        with_one_changed(original, path, name)
    elif other == "cut":
        path.write_bytes(original.read_bytes()[:-10_000])
    elif other == "retyped":
        write(wide, Recipe("q", FileType.Q5_K_S), path)
    file = QuantizedFile(str(path), "f" * 64, {p.name: p.effective for p in plan.tensors})
    with pytest.raises(EngineError, match=sentence):
        write(wide, Recipe(MIX.name, MIX.base, MIX.overrides, file=file), out)
    assert not out.exists()


def test_bytes_that_are_no_numbers_are_refused(wide: Path, tmp_path: Path) -> None:
    original, bad = tmp_path / "original.gguf", tmp_path / "bad.gguf"
    write(wide, MIX, original)
    with BaseModel(original) as model:
        data = model.data("blk.1.attn_q.weight").tobytes()
    whole = original.read_bytes()
    bad.write_bytes(whole.replace(data, b"\xff" * len(data)))
    with pytest.raises(EngineError, match=r"blk\.1\.attn_q\.weight of \S+bad\.gguf holds infinite"):
        write(wide, copying(MIX, bad), tmp_path / "out.gguf")


def test_headers_that_compute_otherwise_are_told_key_by_key(wide: Path, tmp_path: Path) -> None:
    original = tmp_path / "original.gguf"
    write(wide, MIX, original)
    with BaseModel(wide) as base:
        with BaseModel(original) as same:
            check_same_model(base, original, same)
            assert differing_keys(base, same) == []
        reader = gguf.GGUFReader(original, "r+")
        reader.fields["llama.rope.freq_base"].parts[-1][0] = np.float32(500_000)
        del reader
        with BaseModel(original) as other:
            assert differing_keys(base, other) == ["llama.rope.freq_base"]


def split(path: Path, out: Path) -> list[Path]:
    """A model's file in parts of six tensors, as llama-gguf-split cuts it."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(out, "llama", split_max_tensors=6)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind, items = field.types[0], field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(field.name, field.contents(), kind, items)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(out.parent.glob(f"{out.stem}-0*.gguf"))
