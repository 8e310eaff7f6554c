"""What is done where a GPU is too small, or a model's graph cannot be changed: more slowly, the same."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lqtui.llama import evaluator, runtime, whole
from lqtui.llama.errors import LoadFailed
from lqtui.llama.gguf import BaseModel
from lqtui.llama.graph import GraphMismatch
from lqtui.recipe.imatrix import Encoding
from lqtui.recipe.types import TensorType
from lqtui.store.errors import InUseError
from lqtui.store.pool import Pool, PoolEntry
from lqtui.worker.child.measuring import measure
from lqtui.worker.messages import Event, Measure, RecipeTypes, SpeedMeasured
from tests.llama.sweeps import chunks_of, own_encodings, random_recipes, run, same

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def entry(tmp_path: Path) -> PoolEntry:
    return Pool(tmp_path / "pool").entry("0" * 64, "engine")


# A GPU with too little memory


class SmallGpu:
    """Holds no layer at all, and remembers how many it was asked to hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[int] = []
        self._load = runtime.loaded_model
        monkeypatch.setattr(runtime, "offloads", lambda layers, blocks: [-1, 3, 2, 1, 0])
        for place in (runtime, evaluator):
            monkeypatch.setattr(place, "loaded_model", self)

    def __call__(self, files: Sequence[Path], gpu_layers: int, *, vocab_only: bool = False) -> object:
        self.asked.append(gpu_layers)
        if gpu_layers:
            raise LoadFailed("no room on the GPU")
        return self._load(files, 0, vocab_only=vocab_only)


def test_recipes_are_scored_with_fewer_layers_and_in_the_end_none(
    tiny_model: Path,
    entry: PoolEntry,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with BaseModel(tiny_model) as base:
        recipes = random_recipes(own_encodings(base), 2, seed=12)
        chunks = chunks_of(base, 128, 1, tmp_path)
        expected = run(base, recipes, chunks, entry)
        gpu = SmallGpu(monkeypatch)
        assert same(run(base, recipes, chunks, entry, gpu_layers=-1), expected)
    assert gpu.asked[:4] == [-1, 3, 2, 1] and set(gpu.asked[4:]) == {0}
    assert "fewer layers" in capfd.readouterr().err


def test_recipes_are_timed_with_fewer_layers_and_in_the_end_none(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = SmallGpu(monkeypatch)
    with BaseModel(tiny_model) as base:
        own = {tensor.name: Encoding(tensor.type) for tensor in base.shape.tensors}
    changed = {"blk.0.ffn_up.weight": Encoding(TensorType.Q8_0)}
    recipe = RecipeTypes(own | changed, perplexity=False, speed=True)
    task = Measure(
        tiny_model,
        [recipe],
        tmp_path / "pool",
        "0" * 64,
        "tiny",
        corpus=tmp_path,
        n_ctx=128,
        chunks=1,
        repetitions=2,
        n_prompt=16,
        n_gen=4,
        threads=1,
    )
    told: list[Event] = []
    measure(task, told.append)
    assert gpu.asked == [-1, 3, 2, 1, 0]
    assert [len(event.tokens_per_second) for event in told if isinstance(event, SpeedMeasured)] == [2, 2]


# A graph that cannot be changed


def test_the_files_of_a_recipes_own_model_are_kept_from_a_prune_until_they_are_open(
    tiny_model: Path, entry: PoolEntry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held: list[bool] = []
    opened = whole.opened

    @contextlib.contextmanager
    def watched(files: Sequence[Path], *options: int) -> Iterator[object]:
        if tiny_model not in files:
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(entry.lock(timeout=0))
                    held.append(False)
                except InUseError:
                    held.append(True)
        with opened(files, *options) as decoder:
            yield decoder

    monkeypatch.setattr(evaluator, "layout_holds", lambda: False)
    monkeypatch.setattr(whole, "opened", watched)
    with BaseModel(tiny_model) as base:
        own = own_encodings(base)
        recipes = [own, *(own | {f"blk.{i}.ffn_up.weight": Encoding(TensorType.Q8_0)} for i in (0, 1))]
        run(base, recipes, chunks_of(base, 128, 2, tmp_path), entry)
    assert held == [True, True]  # each is loaded once, and the base is not the pool's


def test_what_is_scored_when_a_graph_turns_out_otherwise_is_not_scored_again(
    tiny_model: Path, entry: PoolEntry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with BaseModel(tiny_model) as base:
        recipes = random_recipes(own_encodings(base), 3, seed=4)
        chunks = chunks_of(base, 128, 3, tmp_path)
        expected = run(base, recipes, chunks, entry)
        evaluate, calls = evaluator.Evaluator.evaluate, itertools.count(1)

        def failing(*arguments: object, **options: object) -> object:
            if next(calls) == 5:  # in the second chunk, of which the base is scored by then
                raise GraphMismatch("another graph than before")
            return evaluate(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(evaluator.Evaluator, "evaluate", failing)
        assert same(run(base, recipes, chunks, entry), expected)  # where a chunk told twice is an error
    assert next(calls) == 6
