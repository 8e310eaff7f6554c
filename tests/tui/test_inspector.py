"""The inspector on a real workbench: what it shows is what ggml does, at once for each type."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from driving import running
from gguf_files import write_tiny_llama
from imatrices import random_imatrix
from textual.pilot import Pilot
from textual.widgets import Static

from lqtui.llama import native
from lqtui.llama.gguf import BaseModel
from lqtui.llama.quantize import as_floats, quantized
from lqtui.recipe.inspection import BlockValues, Histogram
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.tui.screens.inspector import InspectorScreen
from lqtui.tui.widgets.inspection import InspectionChart, percent
from lqtui.workbench import Settings, Workbench

NAME = "blk.0.attn_q.weight"


@pytest.fixture
async def bench(paths: Paths, demo_model: Path) -> AsyncIterator[Workbench]:
    bench = Workbench(paths, Settings(threads=1))
    await bench.open(demo_model, fingerprint=False)
    yield bench
    await bench.close()


def said(pilot: Pilot[None], place: str) -> str:
    return str(pilot.app.screen.query_one(f"#{place}", Static).visual)


def drawn(pilot: Pilot[None], place: str) -> object:
    return pilot.app.screen.query_one(f"#{place}", InspectionChart).scene


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await pilot.pause(0.02)
    await pilot.pause()


async def until_all_known(pilot: Pilot[None]) -> InspectorScreen:
    """Wait until every type is done."""
    screen = pilot.app.screen
    assert isinstance(screen, InspectorScreen)
    await until(pilot, lambda: len(screen._now.inspected) == len(screen._now.types))
    assert not screen._now.problem
    return screen


def relative_error(model: Path, name: str, tensor_type: TensorType) -> float:
    native.ggml().ggml_quantize_init(tensor_type.layout.number)
    with BaseModel(model) as base:
        tensor = base.shape.by_name[name]
        weights = as_floats(base.data(name).reshape(tensor.rows, -1), tensor.type)
        off = as_floats(quantized(weights, tensor, tensor_type), tensor_type) - weights
        return float(np.linalg.norm(off) / np.linalg.norm(weights))


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)])
async def test_d_looks_into_the_tensor_under_the_cursor(bench: Workbench, size: tuple[int, int]) -> None:
    async with running(bench, size) as pilot:
        await pilot.press("right", "d")
        await until_all_known(pilot)
        assert "256 × 256 · F16 · 65,536 weights · mean" in said(pilot, "facts")
        assert isinstance(drawn(pilot, "weights"), Histogram)
        assert isinstance(drawn(pilot, "scales"), Histogram)
        assert isinstance(drawn(pilot, "block"), BlockValues)
        for place in ("weights", "scales", "block"):
            shown = pilot.app.screen.query_one(f"#{place}", InspectionChart)._canvas.render().plain
            assert "too small" not in shown and len(shown.splitlines()) >= 6
        assert pilot.app.screen.query_one("#ladder").display is (size[0] > 80)


async def test_flipping_the_type_shows_its_error_at_once(bench: Workbench, demo_model: Path) -> None:
    async with running(bench, (120, 36)) as pilot:
        await pilot.press("right", "d")
        screen = await until_all_known(pilot)
        for key, kind in (("4", TensorType.Q4_0), ("right", TensorType.IQ4_NL), ("8", TensorType.Q8_0)):
            await pilot.press(key)
            expected = percent(relative_error(demo_model, NAME, kind))
            assert said(pilot, "error").startswith(f"{kind}: {expected} error · RMSE ")
            assert f"[{kind}]" in said(pilot, "strip")
            assert f"▸  {kind}" in said(pilot, "ladder") and expected in said(pilot, "ladder")
        assert not screen.workers, "nothing more was asked of a process"
        await pilot.press("f")
        assert said(pilot, "error") == "F16: no error, every weight is kept as it is"
        assert drawn(pilot, "block") == "F16 rounds each weight by itself"


async def test_brackets_walk_from_block_to_block(bench: Workbench) -> None:
    async with running(bench, (80, 24)) as pilot:
        await pilot.press("right", "d")
        await until_all_known(pilot)
        await pilot.press("4", "right_square_bracket", "right_square_bracket")
        seen = drawn(pilot, "block")
        assert isinstance(seen, BlockValues) and seen.number == 2
        assert said(pilot, "block-title").startswith("block 2 of 2,048 · row 0, column 64 · scale")
        await pilot.press("6")  # whose blocks have 16 weights: it stays in the same place
        assert said(pilot, "block-title").startswith("block 4 of 4,096 · row 0, column 64")
        await pilot.press("pagedown", "left_square_bracket")
        assert said(pilot, "block-title").startswith("block 19 of 4,096 · row 1, column 48")
        await pilot.press("pageup", "pageup")
        assert said(pilot, "block-title").startswith("block 3 of 4,096 · row 0, column 48"), (
            "not above the first"
        )


async def test_blocks_out_of_sight_are_read_when_they_are_come_to(bench: Workbench) -> None:
    async with running(bench, (80, 24)) as pilot:
        await pilot.press("right", "d")
        screen = await until_all_known(pilot)
        assert screen._now.tensor is not None
        before = screen._now.tensor.first
        await pilot.press("4", *["pagedown"] * 70)
        await until(pilot, lambda: screen._now.tensor is not None and screen._now.tensor.first != before)
        await until_all_known(pilot)
        seen = drawn(pilot, "block")
        assert isinstance(seen, BlockValues) and seen.number == 70 * 256 // 32
        await pilot.press("down")
        await until_all_known(pilot)
        await pilot.press("up")  # where all types are known, but not of its first blocks any more
        await until(pilot, lambda: getattr(drawn(pilot, "block"), "number", None) == 0)
        await until_all_known(pilot)


async def test_arrows_go_from_tensor_to_tensor_and_what_is_known_stays(bench: Workbench) -> None:
    async with running(bench, (80, 24)) as pilot:
        await pilot.press("right", "d")
        screen = await until_all_known(pilot)
        await pilot.press("4", "down")
        await until_all_known(pilot)
        assert screen._tensor.name != NAME and said(pilot, "error").startswith("Q4_0: ")
        await pilot.press("up")
        assert screen._tensor.name == NAME and said(pilot, "error").startswith("Q4_0: ")
        await until_all_known(pilot)


async def test_enter_gives_the_tensor_the_type_as_an_edit(bench: Workbench) -> None:
    async with running(bench, (80, 24)) as pilot:
        await pilot.press("right", "d")
        await until_all_known(pilot)
        await pilot.press("3", "enter")
        await pilot.pause()
        assert bench.plan is not None and bench.plan.by_name[NAME].effective is TensorType.Q3_K
        assert bench.undo_label == "blk.0.attn_q → Q3_K"
        await pilot.press("d", "escape")
        assert bench.undo_label == "blk.0.attn_q → Q3_K" and not isinstance(pilot.app.screen, InspectorScreen)


async def test_types_that_the_tensor_cannot_have_are_left_out(paths: Paths, tiny_model: Path) -> None:
    bench = Workbench(paths, Settings(threads=1))
    await bench.open(tiny_model, fingerprint=False)
    async with running(bench, (80, 24)) as pilot:
        await pilot.press("right", "d")
        screen = await until_all_known(pilot)
        assert {"Q4_0", "Q8_0", "IQ4_NL", "MXFP4", "Q2_0", "F16"} <= set(screen._now.types)
        assert not {"Q4_K", "Q1_0", "TQ1_0", "IQ3_S"} & set(screen._now.types), "rows of 64 do not fit them"


async def test_the_recipes_importance_matrix_opens_the_types_that_need_one(
    paths: Paths, tmp_path: Path
) -> None:
    model = write_tiny_llama(tmp_path / "wide.gguf", width=256, ffn=256, blocks=1)
    with BaseModel(model) as base:
        matrix = random_imatrix(tmp_path / "matrix.gguf", base.shape)
    bench = Workbench(paths, Settings(threads=1))
    await bench.open(model, fingerprint=False)
    tensor = bench.tensor_named("blk.0.attn_q")
    assert TensorType.IQ2_XXS not in bench.inspectable_types(tensor)
    await bench.use_imatrix(matrix)
    assert TensorType.IQ2_XXS in bench.inspectable_types(tensor)
    await bench.close()


async def test_a_model_that_is_gone_is_said(paths: Paths, tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "gone.gguf")
    bench = Workbench(paths, Settings(threads=1))
    await bench.open(model, fingerprint=False)
    async with running(bench, (80, 24)) as pilot:
        model.unlink()
        await pilot.press("right", "d")
        screen = pilot.app.screen
        assert isinstance(screen, InspectorScreen)
        await until(pilot, lambda: bool(screen._now.problem))
        assert "gone.gguf is gone" in said(pilot, "error")
