"""Importance matrices in the app: what needs one says so and offers it, and what is chosen is used."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import lines, running, toasts
from fakes import FakeWorkbench
from model_shapes import llama_shape
from textual.widgets import Input, OptionList, Static

from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import with_imatrix
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.types import TensorType
from lqtui.tui.screens.imatrix import ImatrixScreen
from lqtui.tui.screens.path_prompt import PathPrompt
from lqtui.tui.widgets.header import HeaderLine
from lqtui.tui.widgets.status_line import StatusLine
from lqtui.tui.widgets.type_toggles import types_for
from lqtui.workbench import Job, WorkbenchError
from lqtui.workbench.imatrices import KeptImatrix

SHAPE = llama_shape(8, width=512, heads=8, kv_heads=8)
KEPT = KeptImatrix(Path("/cache/a.imatrix.gguf"), "wikitext-2, second half", 100, 512, 300_000)


def matrix(path: Path) -> Imatrix:
    sizes = {tensor.name: tensor.columns for tensor in quantizable_tensors(SHAPE) if tensor.block is not None}
    return Imatrix(str(path), "a" * 64, sizes, "text", 100)


class MatrixBench(FakeWorkbench):
    """Any file but those called `bad` is a matrix of the model."""

    def __init__(self) -> None:
        super().__init__(SHAPE)

    def kept_imatrices(self) -> list[KeptImatrix]:
        return [KEPT]

    async def use_imatrix(self, path: Path | None) -> None:
        if path is not None and path.stem == "bad":
            raise WorkbenchError(f"{path} is no importance matrix")
        assert self.plan is not None
        self.use(with_imatrix(self.plan.recipe, matrix(path) if path else None), "matrix")

    def compute_imatrix(self, corpus: Path | None, chunks: int, *, use: bool) -> Job:
        self.calls.append(f"compute {corpus} {chunks} {use}")
        return self._start(f"importance matrix of {chunks} chunks", "imatrix")


def said(pilot) -> str:
    return "\n".join(str(static.visual) for static in pilot.app.screen.query(Static))


async def choose(pilot, option: str) -> None:
    options = pilot.app.screen.query_one(OptionList)
    options.highlighted = options.get_option_index(option)
    await pilot.press("enter")
    await pilot.pause()
    await pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_x_puts_a_kept_matrix_to_use_and_the_header_says_so(size: tuple[int, int]) -> None:
    bench = MatrixBench()
    async with running(bench, size) as pilot:
        await pilot.press("a", "4", "X")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ImatrixScreen)
        shown = str(pilot.app.screen.query_one(OptionList).get_option("kept-0").prompt)
        assert "wikitext-2, second half" in shown and "100×512" in shown
        await pilot.press("enter")
        await pilot.pause()
        await pilot.pause()
        assert bench.plan is not None and bench.plan.imatrix is not None
        assert "by imatrix" in str(pilot.app.main.query_one(HeaderLine).render())
        assert "weighs the errors of 56 tensors" in pilot.app.main.query_one(StatusLine).event
        await pilot.press("X")
        await choose(pilot, "none")
        assert bench.plan.imatrix is None
        assert "by imatrix" not in str(pilot.app.main.query_one(HeaderLine).render())


async def test_a_type_that_needs_a_matrix_can_be_chosen_and_one_is_offered() -> None:
    bench = MatrixBench()
    async with running(bench) as pilot:
        await pilot.press("t")
        picker = pilot.app.screen
        line = str(picker.query_one(OptionList).get_option("IQ2_XS").prompt)
        assert "needs an importance matrix" in line
        await choose(pilot, "IQ2_XS")
        assert isinstance(pilot.app.screen, ImatrixScreen)
        assert "IQ2_XS needs an importance matrix: blk.0.attn_k.weight and 6 more." in said(pilot)
        await choose(pilot, "kept-0")
        assert bench.plan is not None and not bench.plan.missing_imatrix
        assert bench.plan.by_name["blk.0.attn_q.weight"].imatrix == "a" * 64
        assert not isinstance(pilot.app.screen, ImatrixScreen)


async def test_with_a_matrix_the_picker_asks_for_none_and_tells_what_it_does_not_know() -> None:
    bench = MatrixBench()
    await bench.use_imatrix(Path("m.gguf"))
    async with running(bench) as pilot:
        await pilot.press("t")
        outlooks = pilot.app.screen._outlooks
        assert not outlooks[TensorType.IQ2_XS].problem and not outlooks[TensorType.IQ2_XS].needs_imatrix
        await pilot.press("escape", "g", "t")
        assert pilot.app.screen._outlooks[TensorType.IQ2_XS].problem == "not in the importance matrix"


async def test_a_mix_that_needs_a_matrix_offers_one_and_keeps_the_one_in_use() -> None:
    bench = MatrixBench()
    async with running(bench) as pilot:
        await pilot.press("p")
        await pilot.pause()
        await choose(pilot, FileType.IQ2_XS)
        assert isinstance(pilot.app.screen, ImatrixScreen)
        await choose(pilot, "kept-0")
        assert bench.plan is not None and not bench.plan.missing_imatrix
        await pilot.press("p")
        await pilot.pause()
        await choose(pilot, FileType.IQ3_XXS)
        assert bench.plan.recipe.base is FileType.IQ3_XXS and bench.plan.imatrix is not None


async def test_measuring_what_lacks_a_matrix_offers_one_instead() -> None:
    bench = MatrixBench()
    bench.assign(["blk.0.ffn_down.weight"], TensorType.IQ3_XXS, "iq3")
    async with running(bench) as pilot:
        await pilot.press("r")
        await pilot.pause()
        await pilot.pause()
        assert isinstance(pilot.app.screen, ImatrixScreen) and not bench.jobs


async def test_one_is_computed_on_the_text_and_the_chunks_that_are_typed(tmp_path: Path) -> None:
    bench = MatrixBench()
    text = tmp_path / "text.txt"
    text.write_text("words")
    async with running(bench) as pilot:
        await pilot.press("X")
        await pilot.pause()
        await choose(pilot, "compute")
        assert bench.calls == ["compute None 100 True"]
        await pilot.press("X")
        await pilot.pause()
        pilot.app.screen.query_one("#text", Input).value = str(text)
        pilot.app.screen.query_one("#chunks", Input).value = "20"
        pilot.app.screen.query_one("#chunks", Input).focus()
        await pilot.press("enter")
        await pilot.pause()
        assert bench.calls[1:] == [f"compute {text} 20 True"]


@pytest.mark.parametrize(
    ("text", "chunks", "sentence"),
    [
        ("/none.txt", "20", "There is no file /none.txt."),
        ("/" + "x" * 300, "20", "cannot be used"),
        ("", "0", "Chunks are a number from 1 to 1,000,000."),
        ("", "", "Chunks are a number"),
    ],
)
async def test_what_cannot_be_computed_is_said_where_it_is_typed(
    text: str, chunks: str, sentence: str
) -> None:
    bench = MatrixBench()
    async with running(bench) as pilot:
        await pilot.press("X")
        await pilot.pause()
        pilot.app.screen.query_one("#text", Input).value = text
        pilot.app.screen.query_one("#chunks", Input).value = chunks
        await choose(pilot, "compute")
        assert isinstance(pilot.app.screen, ImatrixScreen)
        assert sentence in said(pilot) and not bench.calls


async def test_a_file_that_is_none_is_a_toast_and_changes_nothing(tmp_path: Path) -> None:
    bench = MatrixBench()
    for name in ("bad.gguf", "good.dat"):
        (tmp_path / name).write_text("x")
    async with running(bench, notifications=True) as pilot:
        for name in ("bad.gguf", "good.dat"):
            await pilot.press("X")
            await choose(pilot, "file")
            assert isinstance(pilot.app.screen, PathPrompt)
            pilot.app.screen.query_one(Input).value = str(tmp_path / name)
            await pilot.press("enter")
            await pilot.pause()
            await pilot.pause()
            assert bench.plan is not None
            assert (bench.plan.recipe.imatrix is not None) == (name == "good.dat")
        assert any("is no importance matrix" in toast for toast in toasts(pilot))
        assert lines(pilot)


def test_types_that_need_a_matrix_are_candidates_where_there_is_one() -> None:
    needy = {TensorType.IQ2_XXS, TensorType.IQ2_XS, TensorType.IQ3_XXS, TensorType.IQ1_S}
    assert not needy & set(types_for(SHAPE))
    assert needy <= set(types_for(SHAPE, matrix(Path("m.gguf"))))
