"""The keys that ask what types do: every type measured, and a tensor inspected."""

from __future__ import annotations

from driving import running
from fakes import FakeWorkbench
from model_shapes import llama_shape
from textual.widgets import OptionList

from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.recipe import Recipe
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.types import TensorType
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


async def test_the_picker_says_by_what_a_low_type_can_be_had_and_the_kib_of_small_tensors() -> None:
    shape = llama_shape(4, width=512, ffn=1024, heads=8, kv_heads=2)
    names = {tensor.name: tensor.columns for tensor in quantizable_tensors(shape)}
    matrix = Imatrix("/tmp/mine.gguf", "0" * 64, names)
    of_low = QuantizedFile("/tmp/theirs.gguf", "1" * 64, dict.fromkeys(names, TensorType.IQ2_XXS))

    async def lines_of(recipe: Recipe) -> dict[str, str]:
        bench = FakeWorkbench(shape)
        bench.use(recipe, "another")
        async with running(bench, (120, 48)) as pilot:
            await pilot.press("t")
            await pilot.pause()
            options = pilot.app.screen.query_one(OptionList).options
            return {option.id: str(option.prompt) for option in options if option.id}

    bare = await lines_of(Recipe("bare", FileType.Q4_0))
    assert "needs an importance matrix" in bare["IQ2_XXS"] and " KiB" in bare["IQ2_XXS"]
    assert " MiB" in bare["Q8_0"] and "matrix" not in bare["Q8_0"]
    weighed = await lines_of(Recipe("weighed", FileType.Q4_0, imatrix=matrix))
    assert weighed["IQ2_XXS"].endswith("  by mine.gguf") and "by mine" not in weighed["Q8_0"]
    copied = await lines_of(Recipe("copied", FileType.Q4_0, file=of_low))
    assert copied["IQ2_XXS"].endswith("  copied from theirs.gguf")
    assert "needs an importance matrix" in copied["IQ2_XS"]


async def test_without_a_model_there_is_nothing_to_measure() -> None:
    bench = FakeWorkbench()
    async with running(bench) as pilot:
        await pilot.press("T")
        await pilot.pause()
        assert bench.calls == [] and bench.jobs == ()
