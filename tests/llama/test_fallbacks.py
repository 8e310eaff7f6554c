"""What is done where a GPU is too small: more slowly, the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lqtui.llama import runtime
from lqtui.llama.errors import LoadFailed
from lqtui.llama.gguf import BaseModel
from lqtui.recipe.types import TensorType
from lqtui.worker.child.measuring import measure
from lqtui.worker.messages import Event, Measure, RecipeTypes, SpeedMeasured


@pytest.fixture(autouse=True)
def engine() -> Iterator[None]:
    with runtime.backend():
        yield


# A GPU with too little memory


class SmallGpu:
    """Holds no layer at all, and remembers how many it was asked to hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[int] = []
        self._load = runtime.loaded_model
        monkeypatch.setattr(runtime, "offloads", lambda layers, blocks: [-1, 3, 2, 1, 0])
        monkeypatch.setattr(runtime, "loaded_model", self)

    def __call__(self, files: Sequence[Path], gpu_layers: int, *, vocab_only: bool = False) -> object:
        self.asked.append(gpu_layers)
        if gpu_layers:
            raise LoadFailed("no room on the GPU")
        return self._load(files, 0, vocab_only=vocab_only)


def test_recipes_are_timed_with_fewer_layers_and_in_the_end_none(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = SmallGpu(monkeypatch)
    with BaseModel(tiny_model) as base:
        types = {tensor.name: tensor.type for tensor in base.shape.tensors}
    recipe = RecipeTypes(types | {"blk.0.ffn_up.weight": TensorType.Q8_0}, perplexity=False, speed=True)
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
