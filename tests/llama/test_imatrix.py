"""Importance matrices: computed as llama-imatrix does, and quantized by as llama-quantize does."""

from __future__ import annotations

import filecmp
import subprocess
from pathlib import Path

import numpy as np
import pytest
from gguf_files import write_tiny_llama
from imatrices import legacy_imatrix, random_imatrix, random_sums
from stock_quantize import StockQuantizer, exact_patterns

from lqtui.llama import runtime
from lqtui.llama.corpus import corpus_chunks
from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.llama.imatrix import compute_imatrix
from lqtui.llama.quantize import fill_pool, write_model
from lqtui.llama.sources import Sources
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import Plan, Recipe, resolve
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TARGET_TYPES, TensorType
from lqtui.store.imatrix_file import open_imatrix
from lqtui.store.pool import Pool, PoolEntry

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, stock: StockQuantizer) -> dict[str, Path]:
    """Models whose rows divide into the blocks of every type; the last one tells of a matrix already."""
    folder = tmp_path_factory.mktemp("wide")

    def tiny(name: str, **options: object) -> Path:
        return write_tiny_llama(folder / f"{name}.gguf", blocks=2, width=256, ffn=512, **options)  # type: ignore[arg-type]

    found = {
        "plain": tiny("plain"),
        "experts": tiny("experts", experts=4),
        "untied": tiny("untied", tied=False),
    }
    keys: dict[str, bytes | int] = {
        "quantize.imatrix.file": b"an earlier file, of a longer name.gguf",
        "quantize.imatrix.entries_count": 3,
    }
    found["made by a matrix"] = folder / "made.gguf"
    assert stock.write(found["plain"], found["made by a matrix"], FileType.BF16, keys=keys).done
    return found


@pytest.fixture(scope="module")
def shapes(models: dict[str, Path]) -> dict[str, ModelShape]:
    found = {}
    for name, path in models.items():
        with BaseModel(path) as base:
            found[name] = base.shape
    return found


def write(model: Path, recipe: Recipe, out: Path, entry: PoolEntry | None = None) -> Plan:
    with BaseModel(model) as base:
        plan = resolve(base.shape, recipe)
        if entry:
            paths = {plan.imatrix.sha256: Path(plan.imatrix.path)} if plan.imatrix else {}
            with entry.lock():
                fill_pool(base, plan.encodings, entry, 2, lambda done, total: None, sources=Sources(paths))
        number = plan.file_type.number
        size = write_model(
            base, plan.encodings, number, out, entry, 2, lambda done, total: None, plan.imatrix
        )
    assert size == plan.file_bytes == out.stat().st_size
    return plan


def assert_as_by_stock(
    model: Path, recipe: Recipe, folder: Path, stock: StockQuantizer, entry: PoolEntry | None = None
) -> Plan:
    """What we write is byte for byte what llama.cpp writes by the same weights."""
    assert recipe.imatrix is not None
    ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
    plan = write(model, recipe, ours, entry)
    file = open_imatrix(Path(recipe.imatrix.path))
    weights = {name: file.weights(name) for name in file.names}
    outcome = stock.write(
        model,
        theirs,
        recipe.base,
        exact_patterns(recipe.overrides),
        requantize=True,
        weights=weights,  # type: ignore[arg-type]
        keys=recipe.imatrix.header(),
    )
    assert outcome.done, outcome.log[-500:]
    assert filecmp.cmp(ours, theirs, shallow=False)
    return plan


def data_of(path: Path) -> dict[str, bytes]:
    with BaseModel(path) as base:
        return {name: base.data(name).tobytes() for name in base.shape.by_name}


@pytest.mark.parametrize("tensor_type", [t for t in TARGET_TYPES if t.is_quantized])
def test_every_type_has_llama_cpps_bytes(
    tensor_type: TensorType,
    models: dict[str, Path],
    shapes: dict[str, ModelShape],
    stock: StockQuantizer,
    tmp_path: Path,
) -> None:
    shape = shapes["experts"]
    imatrix = open_imatrix(random_imatrix(tmp_path / "m.gguf", shape)).describe()
    names = [tensor.name for tensor in quantizable_tensors(shape) if tensor.block is not None]
    # A Q4_0 tensor beside them, so that the matrix is used whatever the type is.
    names.remove("blk.1.attn_q.weight")
    recipe = Recipe("all", FileType.Q4_0, dict.fromkeys(names, tensor_type), imatrix=imatrix)
    assert_as_by_stock(models["experts"], recipe, tmp_path, stock)


@pytest.mark.parametrize("tensor_type", [t for t in TARGET_TYPES if not t.impossible_without_imatrix])
def test_a_type_uses_the_matrix_exactly_where_its_bytes_change(
    tensor_type: TensorType, models: dict[str, Path], shapes: dict[str, ModelShape], tmp_path: Path
) -> None:
    shape, name = shapes["plain"], "blk.0.ffn_down.weight"
    imatrix = open_imatrix(random_imatrix(tmp_path / "m.gguf", shape)).describe()
    plain = Recipe("one", FileType.Q8_0, {name: tensor_type})
    with_matrix = Recipe("one", FileType.Q8_0, {name: tensor_type}, imatrix=imatrix)
    plans = [write(models["plain"], r, tmp_path / f"{bool(r.imatrix)}.gguf") for r in (plain, with_matrix)]
    changed = data_of(tmp_path / "True.gguf")[name] != data_of(tmp_path / "False.gguf")[name]
    assert changed == tensor_type.uses_imatrix == (plans[0].digest != plans[1].digest)
    assert (plans[1].imatrix is not None) == changed
    assert filecmp.cmp(tmp_path / "True.gguf", tmp_path / "False.gguf", shallow=False) != changed


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        *(("experts", file_type) for file_type in FileType if file_type.default_type.uses_imatrix),
        *(("plain", file_type) for file_type in (FileType.Q4_0, FileType.Q4_K_M, FileType.IQ3_XXS)),
        *((kind, FileType.IQ2_XS) for kind in ("plain", "untied", "made by a matrix")),
    ],
)
def test_every_mix_gives_llama_cpps_file(
    base: FileType,
    kind: str,
    models: dict[str, Path],
    shapes: dict[str, ModelShape],
    stock: StockQuantizer,
    tmp_path: Path,
) -> None:
    imatrix = open_imatrix(random_imatrix(tmp_path / "m.gguf", shapes[kind])).describe()
    assert_as_by_stock(models[kind], Recipe("mix", base, imatrix=imatrix), tmp_path, stock)


@pytest.mark.parametrize(
    "base", [FileType.Q4_0, FileType.Q5_0, FileType.IQ3_XXS, FileType.IQ4_XS, FileType.IQ2_M]
)
def test_mixes_of_24_blocks_choose_types_as_llama_cpp_does_with_a_matrix(
    base: FileType, demo_model: Path, demo_shape: ModelShape, stock: StockQuantizer, tmp_path: Path
) -> None:
    file = open_imatrix(random_imatrix(tmp_path / "m.gguf", demo_shape))
    plan = resolve(demo_shape, Recipe("mix", base, imatrix=file.describe()))
    weights = {name: file.weights(name) for name in file.names}
    outcome = stock.dry_run(demo_model, base, weights=weights)  # type: ignore[arg-type]
    assert outcome.types == {planned.name: planned.effective for planned in plan.tensors}
    assert not plan.missing_imatrix


def test_a_mix_chooses_otherwise_than_without(demo_shape: ModelShape, tmp_path: Path) -> None:
    imatrix = open_imatrix(random_imatrix(tmp_path / "m.gguf", demo_shape)).describe()
    plain, weighted = (resolve(demo_shape, Recipe("mix", FileType.Q4_0, imatrix=i)) for i in (None, imatrix))
    assert plain.by_name["blk.2.ffn_down.weight"].effective is TensorType.Q4_0
    assert weighted.by_name["blk.2.ffn_down.weight"].effective is TensorType.Q4_1


@pytest.mark.parametrize("kind", ["plain", "experts", "untied"])
def test_the_older_format_gives_the_same_weights_as_llama_cpp_reads_from_it(
    kind: str, models: dict[str, Path], shapes: dict[str, ModelShape], stock: StockQuantizer, tmp_path: Path
) -> None:
    file = open_imatrix(legacy_imatrix(tmp_path / "m.dat", random_sums(shapes[kind])))
    assert (file.is_legacy, file.chunks, file.datasets) == (True, 7, ("old text.txt",))
    assert_as_by_stock(models[kind], Recipe("q2", FileType.IQ2_XS, imatrix=file.describe()), tmp_path, stock)


def test_pool_shards_are_kept_apart_by_matrix_and_shared_where_it_changes_nothing(
    models: dict[str, Path], shapes: dict[str, ModelShape], stock: StockQuantizer, tmp_path: Path
) -> None:
    entry = Pool(tmp_path / "pool").entry("0" * 64, "engine")
    overrides = {"blk.0.attn_v.weight": TensorType.Q8_0}
    one, other = (
        open_imatrix(random_imatrix(tmp_path / f"{seed}.gguf", shapes["plain"], seed)).describe()
        for seed in (1, 2)
    )
    for imatrix in (one, other, one):
        recipe = Recipe("mix", FileType.Q4_K_S, overrides, imatrix=imatrix)
        assert_as_by_stock(models["plain"], recipe, tmp_path, stock, entry)
    write(models["plain"], Recipe("mix", FileType.Q4_K_S, overrides), tmp_path / "none.gguf", entry)
    shards = {path.parent.name for path in entry.directory.rglob("blk.0.attn_q.weight.gguf")}
    assert shards == {"q4_k", f"q4_k-{one.sha256}", f"q4_k-{other.sha256}"}
    assert [p.parent.name for p in entry.directory.rglob("blk.0.attn_v.weight.gguf")] == ["q8_0"]


@pytest.mark.parametrize(
    ("base", "overrides"),
    [
        (FileType.IQ2_XS, {}),
        (FileType.Q2_K_S, {}),
        (FileType.Q4_0, {"blk.1.ffn_down.weight": TensorType.IQ3_XXS}),
        (FileType.Q4_0, {"blk.0.ffn_down.weight": TensorType.IQ3_XXS}),
        (FileType.Q4_0, {"token_embd.weight": TensorType.IQ3_XXS}),
        (FileType.Q4_0, {"token_embd.weight": TensorType.IQ2_XXS}),  # ends the process
    ],
)
def test_what_the_matrix_lacks_is_what_llama_cpp_cannot_write(
    base: FileType,
    overrides: dict[str, TensorType],
    models: dict[str, Path],
    shapes: dict[str, ModelShape],
    stock: StockQuantizer,
    tmp_path: Path,
) -> None:
    path = random_imatrix(tmp_path / "m.gguf", shapes["plain"], without=["blk.1.ffn_down.weight"])
    file = open_imatrix(path)
    weights = {name: file.weights(name) for name in file.names}
    patterns = exact_patterns(overrides)
    outcome = stock.write(models["plain"], tmp_path / "out.gguf", base, patterns, weights=weights)  # type: ignore[arg-type]
    plan = resolve(shapes["plain"], Recipe("needy", base, overrides, imatrix=file.describe()))
    assert outcome.done == (not plan.missing_imatrix)


def test_a_matrix_that_has_changed_since_is_refused(
    models: dict[str, Path], shapes: dict[str, ModelShape], tmp_path: Path
) -> None:
    from lqtui.store.errors import StoreError

    imatrix = open_imatrix(random_imatrix(tmp_path / "m.gguf", shapes["plain"])).describe()
    random_imatrix(tmp_path / "m.gguf", shapes["plain"], seed=2)
    with pytest.raises(StoreError, match=r"m\.gguf has changed since it was chosen"):
        write(models["plain"], Recipe("q", FileType.IQ2_XS, imatrix=imatrix), tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize("other", ["wider", "deeper", "another"])
def test_the_matrix_of_another_model_is_refused(
    other: str, shapes: dict[str, ModelShape], tmp_path: Path
) -> None:
    sums = random_sums(shapes["plain"])
    match other:
        case "wider":
            sums = {n: s._replace(squares=np.repeat(s.squares, 2, axis=1)) for n, s in sums.items()}
        case "deeper":
            sums |= {f"blk.{block}.attn_q.weight": sums["blk.0.attn_q.weight"] for block in range(2, 40)}
        case "another":
            sums = {f"dec.{name}": s for name, s in sums.items()}
    from lqtui.store.imatrix_file import write_imatrix

    write_imatrix(tmp_path / "m.gguf", sums, ["text"], 1, 512)
    imatrix = open_imatrix(tmp_path / "m.gguf").describe()
    with pytest.raises(RecipeError, match="importance matrix of another model"):
        resolve(shapes["plain"], Recipe("q", FileType.Q4_0, imatrix=imatrix))


# Computing one


def compute(model: Path, text: Path, out: Path, chunks: int, *, begun: Path | None = None) -> Path:
    with BaseModel(model) as base:
        with runtime.loaded_model([base.first_part], 0, vocab_only=True) as vocabulary:
            cut = corpus_chunks(vocabulary, text, 128, chunks)
        begun_file = open_imatrix(begun) if begun else None
        unfinished = out.with_suffix(".unfinished")
        compute_imatrix(
            base, cut, text.name, out, unfinished, begun_file, 1, 0, lambda: None, lambda d, t: None, 0.0
        )
        assert not unfinished.exists()
    return out


def differences(one: Path, other: Path) -> float:
    """The largest difference between two matrices, as a share of the value; names and counts are equal."""
    a, b = open_imatrix(one), open_imatrix(other)
    assert a.names == b.names
    assert (a.chunks, a.chunk_size) == (b.chunks, b.chunk_size)
    largest = 0.0
    for name in a.names:
        (mine, my_counts), (its, its_counts) = a.sums(name), b.sums(name)
        assert np.array_equal(my_counts, its_counts)
        largest = max(largest, float((np.abs(mine - its) / np.maximum(np.abs(its), 1e-30)).max()))
    return largest


def test_a_matrix_that_was_gone_on_with_equals_one_in_one_go(
    models: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    for kind in ("plain", "experts"):
        whole = compute(models[kind], tiny_corpus, tmp_path / f"{kind}.gguf", 5)
        half = compute(models[kind], tiny_corpus, tmp_path / f"{kind}-2.gguf", 2)
        rest = compute(models[kind], tiny_corpus, tmp_path / f"{kind}-5.gguf", 5, begun=half)
        assert open_imatrix(half).chunks == 2
        assert differences(rest, whole) < 1e-6


def test_what_is_unfinished_is_kept_chunk_by_chunk(
    models: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def killed(done: int, total: int) -> None:
        if done == 3:
            raise Killed

    out, unfinished = tmp_path / "m.gguf", tmp_path / "unfinished.gguf"
    with BaseModel(models["plain"]) as base:
        with runtime.loaded_model([base.first_part], 0, vocab_only=True) as vocabulary:
            chunks = corpus_chunks(vocabulary, tiny_corpus, 128, 5)
        with pytest.raises(Killed):
            compute_imatrix(base, chunks, "t", out, unfinished, None, 1, 0, lambda: None, killed, 0.0)
        assert not out.exists()
        assert open_imatrix(unfinished).chunks == 3
        begun = open_imatrix(unfinished)
        compute_imatrix(base, chunks, "t", out, unfinished, begun, 1, 0, lambda: None, lambda d, t: None, 9)
    assert not unfinished.exists()
    assert differences(out, compute(models["plain"], tiny_corpus, tmp_path / "whole.gguf", 5)) < 1e-6


@pytest.mark.parametrize("n_ctx", [8, 15, 513, 1030])
def test_chunks_with_an_end_that_no_product_is_taken_of_are_refused(
    n_ctx: int, models: dict[str, Path]
) -> None:
    with BaseModel(models["plain"]) as base, pytest.raises(EngineError, match="choose a --ctx such as 512"):
        chunks = np.zeros((2, n_ctx), np.int32)
        compute_imatrix(
            base, chunks, "t", Path("out"), Path("part"), None, 1, 0, lambda: None, lambda d, t: None, 9
        )


@pytest.mark.reference
@pytest.mark.parametrize("kind", ["plain", "experts", "untied"])
def test_a_matrix_is_llama_imatrixs_within_rounding_and_read_by_llama_quantize(
    kind: str, models: dict[str, Path], tiny_corpus: Path, llama_tools: Path, tmp_path: Path
) -> None:
    ours = compute(models[kind], tiny_corpus, tmp_path / "ours.gguf", 4)
    command = [
        llama_tools / "llama-imatrix",
        "-m",
        models[kind],
        "-f",
        tiny_corpus,
        "-c",
        "128",
        "--chunks",
        "4",
    ]
    command += ["-o", tmp_path / "theirs.gguf", "-t", "1", "--no-ppl"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    assert differences(ours, tmp_path / "theirs.gguf") < 1e-4
    imatrix = open_imatrix(ours).describe()
    plan = write(models[kind], Recipe("q", FileType.IQ2_M, imatrix=imatrix), tmp_path / "written.gguf")
    done = subprocess.run(
        [llama_tools / "llama-quantize", "--imatrix", "ours.gguf", models[kind], "stock.gguf", "IQ2_M"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert filecmp.cmp(tmp_path / "written.gguf", tmp_path / "stock.gguf", shallow=False)
    assert isinstance(plan.imatrix, Imatrix)
