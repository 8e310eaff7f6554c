"""The keys that ask what types do: every type measured, and a tensor inspected."""

from __future__ import annotations

from driving import running
from fakes import FakeWorkbench
from model_shapes import llama_shape

from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import Recipe
from lqtui.recipe.rules import quantizable_tensors
from lqtui.tui.widgets.status_line import StatusLine


async def test_t_measures_every_type(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("T")
        await pilot.pause()
        assert workbench.calls == ["measure types by no matrix"]
        assert "Started: measure 7 types" in pilot.app.main.query_one(StatusLine).event


async def test_every_type_is_measured_by_the_recipes_importance_matrix() -> None:
    shape = llama_shape(4)
    bench = FakeWorkbench(shape)
    sizes = {tensor.name: tensor.columns for tensor in quantizable_tensors(shape)}
    bench.use(Recipe("mine", FileType.Q4_0, imatrix=Imatrix("/tmp/mine.gguf", "0" * 64, sizes)), "mine")
    async with running(bench) as pilot:
        await pilot.press("T")
        await pilot.pause()
        assert bench.calls == ["measure types by mine.gguf"]


async def test_without_a_model_there_is_nothing_to_measure() -> None:
    bench = FakeWorkbench()
    async with running(bench) as pilot:
        await pilot.press("T")
        await pilot.pause()
        assert bench.calls == [] and bench.jobs == ()
