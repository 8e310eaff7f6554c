"""Sweeps: whatever is shared or restarted, the numbers are those of each recipe's own model, bit by bit."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from gguf_files import write_tiny_gemma3n, write_tiny_llama

from lqtui.llama import evaluator
from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.llama.graph import GraphMismatch, Hook
from lqtui.llama.sweep import Candidate, grouped, share_out
from lqtui.recipe.imatrix import Encoding
from lqtui.recipe.types import TensorType
from lqtui.store.pool import Pool, PoolEntry
from tests.llama.sweeps import TYPES, Scores, chunks_of, own_encodings, random_recipes, run, same

pytestmark = pytest.mark.usefixtures("engine")

Q8, Q4 = Encoding(TensorType.Q8_0), Encoding(TensorType.Q4_0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "llama": write_tiny_llama(folder / "llama.gguf"),
        "untied": write_tiny_llama(folder / "untied.gguf", tied=False),
        "experts": write_tiny_llama(folder / "experts.gguf", experts=4),
        "split": write_tiny_llama(folder / "split.gguf", tensors_per_part=10),
        "gemma3n": write_tiny_gemma3n(folder / "gemma3n.gguf"),
    }


@pytest.fixture(scope="module")
def demo_model() -> Path:
    return Path(__file__).parents[2] / "assets" / "lqtui-demo.gguf"


@pytest.fixture
def entry(tmp_path: Path) -> PoolEntry:
    return Pool(tmp_path / "pool").entry("0" * 64, "engine")


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scores]:
    """A sweep that loads each recipe's own model and evaluates it whole."""

    def run_whole(*arguments: object, **options: object) -> Scores:
        with monkeypatch.context() as patch:
            patch.setattr(evaluator, "layout_holds", lambda: False)
            return run(*arguments, **options)  # type: ignore[arg-type]

    return run_whole


@pytest.mark.parametrize("name", ["llama", "untied", "experts", "split", "gemma3n"])
def test_scores_are_those_of_each_recipes_own_model_to_the_last_bit(
    name: str, models: dict[str, Path], entry: PoolEntry, whole: Callable[..., Scores], tmp_path: Path
) -> None:
    with BaseModel(models[name]) as base:
        recipes = random_recipes(own_encodings(base), 9, seed=len(name))
        chunks = chunks_of(base, 128, 2, tmp_path)
        fast = run(base, recipes, chunks, entry)
        assert same(fast, whole(base, recipes, chunks, entry))
    assert len(fast) == 2 * len(recipes)
    assert all(np.isfinite(told.nll).all() for told in fast.values())


def test_a_chunk_of_several_decodes_is_scored_as_a_whole_one(
    models: dict[str, Path], entry: PoolEntry, whole: Callable[..., Scores], tmp_path: Path
) -> None:
    with BaseModel(models["llama"]) as base:
        recipes = random_recipes(own_encodings(base), 5, seed=7)
        chunks = chunks_of(base, 1300, 2, tmp_path)
        assert same(run(base, recipes, chunks, entry), whole(base, recipes, chunks, entry))


def test_the_trained_demo_is_scored_as_its_recipes_own_models(
    demo_model: Path, entry: PoolEntry, whole: Callable[..., Scores], tmp_path: Path
) -> None:
    with BaseModel(demo_model) as base:
        recipes = random_recipes(own_encodings(base), 6, seed=8)
        chunks = chunks_of(base, 256, 1, tmp_path)
        fast = run(base, recipes, chunks, entry)
        assert same(fast, whole(base, recipes, chunks, entry))
        kld = [float(fast[i, 0].kld.mean()) for i in range(len(recipes))]  # type: ignore[union-attr]
    assert kld[0] == 0 and min(kld[1:]) > 0


@pytest.mark.parametrize("blocks", [{0}, {23}, {5, 6, 7}, {0, 1, 11, 22, 23}])
def test_a_pruned_block_is_left_out_as_llama_quantize_leaves_it_out(
    blocks: set[int], demo_model: Path, entry: PoolEntry, tmp_path: Path
) -> None:
    file = tmp_path / "pruned.gguf"
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_F16
    listed = (ctypes.c_int32 * (len(blocks) + 1))(*sorted(blocks), -1)
    options.prune_layers = ctypes.cast(listed, ctypes.POINTER(ctypes.c_int32))
    assert llama_cpp.llama_model_quantize(str(demo_model).encode(), str(file).encode(), options) == 0
    with BaseModel(demo_model) as base, BaseModel(file) as stock:
        own = own_encodings(base)
        chunks = chunks_of(base, 128, 2, tmp_path)
        q4 = own | {"blk.12.ffn_up.weight": Q4}  # so that two recipes share pruned blocks
        ours = run(base, [own, q4], chunks, entry, pruned=[frozenset(blocks)] * 2)
        theirs = run(
            stock, [own_encodings(stock)], chunks, Pool(tmp_path / "other").entry("1" * 64, "engine")
        )
    for chunk in range(2):
        assert np.array_equal(ours[0, chunk].nll, theirs[0, chunk].nll)
        assert not np.array_equal(ours[1, chunk].nll, ours[0, chunk].nll)


def test_what_recipes_share_is_computed_once(demo_model: Path, entry: PoolEntry, tmp_path: Path) -> None:
    with BaseModel(demo_model) as base:
        own = own_encodings(base)
        last = [
            own | {f"blk.23.{role}.weight": Encoding(kind)}
            for role in ("ffn_up", "ffn_down")
            for kind in TYPES
        ]
        blocks: list[tuple[int, int]] = []
        run(base, last, chunks_of(base, 128, 2, tmp_path), entry, on_blocks=lambda *told: blocks.append(told))
    # The base whole, 25 levels with its head, then the last block and the head for each recipe.
    assert blocks[-1] == (2 * (25 + 2 * len(last)), 2 * (25 + 2 * len(last)))


def test_where_blocks_share_keys_and_values_only_the_restarts_that_hold_are_used(
    models: dict[str, Path],
) -> None:
    with BaseModel(models["gemma3n"]) as base:
        own = own_encodings(base)
        with evaluator.Evaluator(base.first_part, own, [], 128, [1], 0, {}) as opened:
            usable = [depth for depth in range(1, opened.depths + 1) if opened.usable(depth)]
    assert usable == [*range(1, 19), 22]  # blocks 20 and 21 attend to what 18 and 19 put into the cache


def test_a_restart_proven_wrong_is_never_taken(
    models: dict[str, Path], entry: PoolEntry, whole: Callable[..., Scores], tmp_path: Path
) -> None:
    with BaseModel(models["gemma3n"]) as base:
        own = own_encodings(base)
        recipes = [own | {f"blk.{block}.ffn_up.weight": Q4} for block in (18, 19, 20, 21)]
        chunks = chunks_of(base, 128, 1, tmp_path)
        assert same(run(base, recipes, chunks, entry), whole(base, recipes, chunks, entry))


@pytest.mark.parametrize("memory", [0, 40_000])
def test_with_little_memory_more_is_computed_and_the_numbers_stay(
    memory: int, models: dict[str, Path], entry: PoolEntry, tmp_path: Path
) -> None:
    with BaseModel(models["llama"]) as base:
        recipes = random_recipes(own_encodings(base), 8, seed=9)
        chunks = chunks_of(base, 128, 2, tmp_path)
        assert same(run(base, recipes, chunks, entry, memory=memory), run(base, recipes, chunks, entry))


def test_chunks_that_are_known_are_not_scored_again(
    models: dict[str, Path], entry: PoolEntry, tmp_path: Path
) -> None:
    with BaseModel(models["llama"]) as base:
        recipes = random_recipes(own_encodings(base), 4, seed=10)
        chunks = chunks_of(base, 128, 3, tmp_path)
        everything = run(base, recipes, chunks, entry)
        rest = run(base, recipes, chunks, entry, known=[3, 2, 0, 3])
    assert sorted(rest) == [(1, 2), (2, 0), (2, 1), (2, 2)]
    assert same(rest, {key: everything[key] for key in rest})


def test_the_base_is_evaluated_once_and_then_comes_from_its_hidden_states(
    models: dict[str, Path], entry: PoolEntry, tmp_path: Path
) -> None:
    with BaseModel(models["untied"]) as base:
        own = own_encodings(base)
        recipe = own | dict.fromkeys(own, Q8)
        chunks = chunks_of(base, 128, 2, tmp_path)
        first = run(base, [recipe], chunks, entry)
        kept = sorted((entry.directory / "base").rglob("*.states"))
        assert len(kept) == 2
        assert same(run(base, [recipe], chunks, entry), first)
        kept[0].write_bytes(kept[0].read_bytes()[:-9] + b"unlikely!")  # damaged: not trusted
        kept[1].write_bytes(b"")
        assert same(run(base, [recipe], chunks, entry), first)


@pytest.mark.parametrize(
    "damage", ["flipped", "swapped", "another model's", "a folder", "a file for a folder"]
)
def test_a_damaged_shard_of_the_pool_is_quantized_anew_and_the_numbers_stay(
    damage: str, models: dict[str, Path], entry: PoolEntry, tmp_path: Path
) -> None:
    with BaseModel(models["untied"]) as base:
        own = own_encodings(base)
        recipe = own | dict.fromkeys(own, Q4)
        chunks = chunks_of(base, 128, 1, tmp_path)
        first = run(base, [recipe], chunks, entry)
        shard = entry.path(Q4.type, "blk.1.ffn_down.weight")
        assert shard.exists()
        match damage:
            case "flipped":
                raw = bytearray(shard.read_bytes())
                raw[1024 + 77] ^= 4
                shard.write_bytes(raw)
            case "swapped":
                shard.write_bytes(entry.path(Q4.type, "blk.2.ffn_down.weight").read_bytes())
            case "another model's":
                with BaseModel(write_tiny_llama(tmp_path / "other.gguf", tied=False, seed=9)) as other:
                    its = Pool(tmp_path / "pool").entry("1" * 64, "engine")
                    run(other, [recipe], chunks, its)
                shard.write_bytes(its.path(Q4.type, "blk.1.ffn_down.weight").read_bytes())
            case "a folder":
                shard.unlink()
                (shard / "with").mkdir(parents=True)
            case "a file for a folder":
                shutil.rmtree(shard.parent)
                shard.parent.write_text("not a folder")
        assert same(run(base, [recipe], chunks, entry), first)


def test_a_sweep_stops_after_a_chunk_when_told_so(
    models: dict[str, Path], entry: PoolEntry, tmp_path: Path
) -> None:
    with BaseModel(models["llama"]) as base:
        recipes = random_recipes(own_encodings(base), 3, seed=11)
        chunks = chunks_of(base, 128, 4, tmp_path)
        scores = run(base, recipes, chunks, entry, go_on=lambda chunk: chunk < 1)
    assert sorted(scores) == [(recipe, chunk) for recipe in range(3) for chunk in range(2)]


def test_progress_counts_what_is_evaluated_of_all_recipes_whether_side_by_side_or_in_groups(
    models: dict[str, Path], entry: PoolEntry, tmp_path: Path
) -> None:
    with BaseModel(models["llama"]) as base:
        own = own_encodings(base)
        recipes = [own | {f"blk.{block}.ffn_up.weight": Q8} for block in (0, 3)]
        chunks = chunks_of(base, 128, 2, tmp_path)
        told: list[list[tuple[int, int]]] = []
        for memory in (1 << 30, 1 << 30, 0):
            told.append([])
            run(base, recipes, chunks, entry, memory=memory, on_blocks=lambda *b: told[-1].append(b))
    # Of 5 levels the first recipe changes all, the second the last two: for it the base is needed whole.
    assert told[0][-1] == told[1][-1] == (2 * (5 + 2 + 5), 2 * (5 + 2 + 5))
    # In a group of its own, the first recipe needs no more of the base than its head, which is known.
    assert told[2][-1] == (2 * (1 + 5) + 2 * (5 + 2), 2 * (1 + 5) + 2 * (5 + 2))
    for blocks in told:
        done = [done for done, _ in blocks]
        assert done == sorted(done) and all(total >= done for done, total in blocks)


def test_without_divergence_the_base_is_not_evaluated(
    models: dict[str, Path], entry: PoolEntry, tmp_path: Path
) -> None:
    with BaseModel(models["llama"]) as base:
        recipe = own_encodings(base) | {"blk.0.attn_q.weight": Q4}
        blocks: list[tuple[int, int]] = []
        chunks = chunks_of(base, 128, 1, tmp_path)
        scores = run(
            base, [recipe], chunks, entry, divergence=False, on_blocks=lambda *told: blocks.append(told)
        )
    assert blocks[-1] == (5, 5)
    assert scores[0, 0].kld is None


def test_a_model_that_gives_no_numbers_has_scores_that_say_so(entry: PoolEntry, tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "broken.gguf", dtype=np.float32)
    raw = bytearray(path.read_bytes())
    with BaseModel(path) as base:
        at = bytes(raw).index(base.data("blk.2.ffn_down.weight").tobytes())
        raw[at : at + 8192] = np.full(2048, 3e38, np.float32).tobytes()  # finite, and its products are not
        path.write_bytes(raw)
    with BaseModel(path) as base:
        recipe = own_encodings(base) | {"blk.0.attn_q.weight": Q8}
        scores = run(base, [recipe], chunks_of(base, 128, 1, tmp_path), entry)
    assert np.isnan(scores[0, 0].nll).any() and np.isnan(scores[0, 0].kld).any()  # type: ignore[arg-type]


def test_the_number_of_threads_is_found_by_trying_and_changes_no_number(
    models: dict[str, Path], entry: PoolEntry, tmp_path: Path
) -> None:
    with BaseModel(models["llama"]) as base:
        recipes = random_recipes(own_encodings(base), 3, seed=13)
        chunks = chunks_of(base, 128, 2, tmp_path)
        assert same(
            run(base, recipes, chunks, entry, other_threads=(2, 3)), run(base, recipes, chunks, entry)
        )


def test_a_context_longer_than_the_models_own_is_refused_before_anything_is_quantized(
    models: dict[str, Path], entry: PoolEntry
) -> None:
    with BaseModel(models["llama"]) as base:
        recipe = own_encodings(base) | {"blk.0.attn_q.weight": Q4}
        with pytest.raises(EngineError, match="longer than the model's own of 2048"):
            run(base, [recipe], np.zeros((1, 2049), np.int32), entry)
    assert not entry.directory.exists()


def test_types_go_into_as_few_donors_as_they_can_share(models: dict[str, Path]) -> None:
    own = dict.fromkeys("abcd", Encoding(TensorType.F16))
    q6 = Encoding(TensorType.Q6_K)
    donors = share_out(own, [own, own | {"a": Q8, "b": Q4}, own | {"a": Q4, "c": q6}, own | {"b": Q4}])
    assert donors == [{"a": Q8, "c": q6}, {"a": Q4, "b": Q4}]


def test_recipes_go_together_as_far_as_their_weights_fit(models: dict[str, Path]) -> None:
    with BaseModel(models["llama"]) as base:
        own = own_encodings(base)
        names = ["blk.0.ffn_up.weight", "blk.1.ffn_up.weight", "blk.2.ffn_up.weight"]
        candidates = [Candidate(own | {name: Q8}) for name in names]
        one = base.shape.by_name[names[0]].bytes_as(TensorType.Q8_0)
        groups = [grouped(base.shape, own, candidates, room) for room in (0, one, 2 * one, 3 * one)]
    assert groups == [[[0], [1], [2]], [[0], [1], [2]], [[0, 1], [2]], [[0, 1, 2]]]


def test_a_decode_of_other_nodes_than_recorded_is_noticed(models: dict[str, Path], tmp_path: Path) -> None:
    hook = Hook()
    with evaluator.opened([models["llama"]], 0, 128, 1, hook) as decoder:
        sample = decoder.sample(32)
        _, graph, weights = hook.record(lambda: decoder.decode(sample))
        fewer = replace(graph, names=graph.names[:-1], ops=graph.ops[:-1])
        with pytest.raises(GraphMismatch):
            hook.change(fewer, evaluator.Changes(weights), lambda: decoder.decode(sample))


def test_logits_agree_bit_by_bit_and_on_a_gpu_within_its_tolerance() -> None:
    logits = np.random.default_rng(11).normal(0, 3, (4, 100)).astype(np.float32)
    reordered = logits + np.float32(1e-4)
    assert evaluator.agree(logits, logits.copy(), 0)
    assert not evaluator.agree(reordered, logits, 0)
    assert evaluator.agree(reordered, logits, evaluator.GPU_TOLERANCE)
    assert not evaluator.agree(logits[::-1], logits, evaluator.GPU_TOLERANCE)
    assert not evaluator.agree(np.full_like(logits, np.nan), logits, evaluator.GPU_TOLERANCE)


def test_the_tolerance_of_gpus_tells_the_restarts_that_hold_from_those_that_do_not(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with BaseModel(models["gemma3n"]) as base:
        own = own_encodings(base)
        with evaluator.Evaluator(base.first_part, own, [], 128, [1], 0, {}) as opened:
            monkeypatch.setattr(opened, "_tolerance", evaluator.GPU_TOLERANCE)
            usable = [depth for depth in range(1, opened.depths + 1) if opened.usable(depth)]
    assert usable == [*range(1, 19), 22]
