"""The budget pane: size against the base, fit, and meters with and without a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
from model_shapes import fit_of, llama_shape
from panes import PaneApp, lines_of, text_of

from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import Plan, resolve
from lqtui.recipe.types import TensorType
from lqtui.system.meters import Gpu, Snapshot
from lqtui.tui.widgets.budget import BudgetPane
from lqtui.tui.widgets.quantities import size
from lqtui.workbench import Fit

GIB = 1 << 30
SHAPE = llama_shape()


def plan(name: str) -> Plan:
    return resolve(SHAPE, preset(name, SHAPE))


def snapshot(*gpus: Gpu, ram_total: int = 24 * GIB, absent: bool = False) -> Snapshot:
    """A machine with 9 GiB of RAM in use."""
    return Snapshot(9 * GIB, ram_total, 0, 0, 34.0, gpus, "" if gpus else "No GPU is shown.", absent)


NO_GPU = snapshot(absent=True)


def show(pane: BudgetPane, name: str, n_ctx: int = 4096, *, gpus: int = 0) -> Plan:
    """Show a preset, and the memory that it needs with its blocks on so many GPUs."""
    recipe = plan(name)
    pane.show_plan(recipe, SHAPE.file_bytes, fit_of(recipe, n_ctx, gpus=gpus))
    return recipe


async def test_the_size_is_told_against_the_base_model() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        recipe = show(pane, "uniform_q4_0")
        line = lines_of(pane)[0]
        assert size(recipe.file_bytes) in line
        assert f"{recipe.file_bytes / SHAPE.file_bytes:.0%}" in line
        assert f"{recipe.bits_per_weight:.2f} bpw" in line
        assert "━" in line


async def test_what_llama_cpp_keeps_in_ram_is_held_against_the_ram() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        show(pane, "uniform_q4_0")
        pane.show_meters(NO_GPU)
        fit, meters = lines_of(pane)[1:3]
        assert "of 15.0 GiB RAM free at ctx 4096" in fit
        assert "✓ fits" in fit
        assert "9.0/24.0 GiB" in meters
        assert "no NVIDIA GPU" in meters


async def test_a_gpu_that_may_be_there_is_not_said_to_be_missing() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        pane.show_meters(snapshot(absent=False))
        assert "GPU unknown" in lines_of(pane)[2]


async def test_a_gpu_that_went_away_is_said_to_have_gone() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        pane.show_meters(replace(snapshot(absent=True), gpu_gone=True))
        assert "GPU went away" in lines_of(pane)[2]


async def test_the_memory_needed_is_marked_as_a_prediction() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        recipe = show(pane, "uniform_q4_0", 8192)
        pane.show_meters(NO_GPU)
        memory = fit_of(recipe, 8192).memory
        assert memory is not None
        assert f"needs ≈{size(memory.needed)}" in lines_of(pane)[1]


async def test_other_kv_types_than_f16_are_named() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        recipe = plan("uniform_q4_0")
        pane.show_plan(recipe, SHAPE.file_bytes, fit_of(recipe, 4096, TensorType.Q8_0))
        pane.show_meters(NO_GPU)
        assert "at ctx 4096 Q8_0" in lines_of(pane)[1]


async def test_no_number_is_shown_before_llama_cpp_has_answered() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        asked = Fit(4096, TensorType.F16, TensorType.F16)
        pane.show_plan(plan("uniform_q4_0"), SHAPE.file_bytes, asked)
        pane.show_meters(NO_GPU)
        assert "asking llama.cpp for ctx 4096" in lines_of(pane)[1]
        assert "fits" not in lines_of(pane)[1]


async def test_memory_that_llama_cpp_cannot_tell_is_unknown_with_the_reason() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        unknown = Fit(4096, TensorType.F16, TensorType.F16, problem="llama.cpp cannot load this model")
        pane.show_plan(plan("uniform_q4_0"), SHAPE.file_bytes, unknown)
        pane.show_meters(NO_GPU)
        assert "unknown: llama.cpp cannot load this model" in lines_of(pane)[1]
        assert "fits" not in lines_of(pane)[1]


async def test_with_gpus_their_share_and_the_rest_are_held_against_what_each_has_free() -> None:
    pane = BudgetPane()
    gpus = (Gpu(0, "A", 7 * GIB, 8 * GIB, 10), Gpu(1, "B", 2 * GIB, 8 * GIB, 0))
    async with PaneApp(pane).run_test(size=(120, 10)):
        show(pane, "uniform_q4_0", gpus=2)
        pane.show_meters(snapshot(*gpus))
        assert "of 7.0 GiB VRAM" in lines_of(pane)[1]
        assert "of 15.0 GiB RAM" in lines_of(pane)[1]
        assert "✓ fits" in lines_of(pane)[1]
        for part in ("GPU0", "7.0/8.0 GiB", "GPU1", "2.0/8.0 GiB", "RAM"):
            assert part in lines_of(pane)[2]


async def test_a_gpu_that_llama_cpp_does_not_use_plays_no_part() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(120, 10)):
        show(pane, "uniform_q4_0")
        pane.show_meters(snapshot(Gpu(0, "A", 8 * GIB, 8 * GIB, 99)))
        assert "VRAM" not in lines_of(pane)[1]
        assert "✓ fits" in lines_of(pane)[1]


async def test_what_does_not_fit_says_so_in_words() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        show(pane, "baseline_fp16")
        pane.show_meters(snapshot(ram_total=9 * GIB + (100 << 20)))
        assert "✗ does not fit" in lines_of(pane)[1]


async def test_a_full_gpu_is_no_fit_however_much_ram_is_free() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(120, 10)):
        show(pane, "baseline_fp16", gpus=1)
        pane.show_meters(snapshot(Gpu(0, "A", 8 * GIB - (100 << 20), 8 * GIB, 0)))
        assert "✗ does not fit" in lines_of(pane)[1]


async def test_a_gpu_that_tells_nothing_breaks_nothing() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        show(pane, "uniform_q4_0")
        pane.show_meters(snapshot(Gpu(0, "A", None, None, None)))
        assert "GPU0 not told" in " ".join(lines_of(pane)[2].split())
        assert "GiB RAM free" in lines_of(pane)[1]


async def test_no_line_is_wider_than_the_pane() -> None:
    gpus = tuple(Gpu(i, "A", GIB, 80 * GIB, 0) for i in range(8))
    for width in (30, 44, 60, 200):
        for used in (0, 2):
            pane = BudgetPane()
            async with PaneApp(pane).run_test(size=(width, 10)):
                show(pane, "uniform_q4_0", 131072, gpus=used)
                pane.show_meters(snapshot(*gpus))
                assert len(lines_of(pane)) == 3
                assert all(len(line) <= width - 4 for line in lines_of(pane))
                assert "fit" in text_of(pane) or width < 40


@pytest.mark.parametrize(
    ("width", "mixes", "measured", "said"),
    [
        (100, 0, None, "predicted KLD 0.0410 (from singles)"),
        (100, 7, None, "predicted KLD 0.0410 (from singles and 7 mixes)"),
        (
            100,
            7,
            (0.0382, 0.0011),
            "predicted KLD 0.0410 (from singles and 7 mixes)  ◆ measured 0.0382 ±0.0011",
        ),
        (66, 1, (0.0382, 0.0011), "predicted KLD 0.0410 (1 mix)  ◆ measured 0.0382 ±0.0011"),
        (66, 0, (0.0382, 0.0011), "predicted KLD 0.0410 (Σ)  ◆ measured 0.0382 ±0.0011"),
        (44, 7, None, "predicted KLD 0.0410 (7 mixes)"),
    ],
)
async def test_the_prediction_says_what_it_rests_on(width, mixes, measured, said) -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(width, 10)) as pilot:
        show(pane, "uniform_q4_0")
        pane.show_prediction(0.041, measured, mixes)
        await pilot.pause()
        assert lines_of(pane)[1].removeprefix("◇").strip() == said


@pytest.mark.parametrize(("width", "said"), [(80, "no NVIDIA GPU"), (44, "no GPU"), (36, "CPU 34%")])
async def test_the_meters_are_told_in_words_that_fit(width, said) -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(width, 10)):
        pane.show_meters(NO_GPU)
        assert lines_of(pane)[2].rstrip().endswith(said)
