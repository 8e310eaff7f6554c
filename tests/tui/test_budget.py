"""The budget pane: size against the base, fit, and meters with and without a GPU."""

from __future__ import annotations

from fakes import llama_shape
from panes import PaneApp, lines_of, text_of

from lqtui.recipe.memory import estimate_memory
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import Plan, resolve
from lqtui.system.meters import Gpu, Snapshot
from lqtui.tui.widgets.budget import BudgetPane
from lqtui.tui.widgets.quantities import size

GIB = 1 << 30
SHAPE = llama_shape()


def plan(name: str) -> Plan:
    return resolve(SHAPE, preset(name, SHAPE))


def snapshot(*gpus: Gpu, ram_total: int = 24 * GIB, note: str = "") -> Snapshot:
    """A machine with 9 GiB of RAM in use."""
    return Snapshot(9 * GIB, ram_total, 0, 0, 34.0, gpus, note)


NO_GPU = snapshot(note="No NVIDIA GPU (there is no NVIDIA driver here).")


async def test_the_size_is_told_against_the_base_model() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        recipe = plan("uniform_q4_0")
        pane.show_plan(recipe, SHAPE.file_bytes, 4096)
        line = lines_of(pane)[0]
        assert size(recipe.file_bytes) in line
        assert f"{recipe.file_bytes / SHAPE.file_bytes:.0%}" in line
        assert f"{recipe.bits_per_weight:.2f} bpw" in line
        assert "━" in line


async def test_without_an_nvidia_gpu_the_fit_is_held_against_ram_and_the_pane_says_why() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        pane.show_plan(plan("uniform_q4_0"), SHAPE.file_bytes, 4096)
        pane.show_meters(NO_GPU)
        fit, meters = lines_of(pane)[1:3]
        assert "at ctx 4096 of 15.0 GiB RAM free" in fit
        assert "✓ fits" in fit
        assert "9.0/24.0 GiB" in meters
        assert "no NVIDIA GPU" in meters


async def test_the_memory_needed_is_marked_as_an_estimate() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        recipe = plan("uniform_q4_0")
        pane.show_plan(recipe, SHAPE.file_bytes, 8192)
        pane.show_meters(NO_GPU)
        assert f"≈{size(estimate_memory(recipe, 8192).total)}" in lines_of(pane)[1]


async def test_with_gpus_the_fit_is_held_against_their_free_memory_together() -> None:
    pane = BudgetPane()
    gpus = (Gpu(0, "A", 7 * GIB, 8 * GIB, 10), Gpu(1, "B", 2 * GIB, 8 * GIB, 0))
    async with PaneApp(pane).run_test(size=(100, 10)):
        pane.show_plan(plan("uniform_q4_0"), SHAPE.file_bytes, 4096)
        pane.show_meters(snapshot(*gpus))
        assert "7.0 GiB VRAM free" in lines_of(pane)[1]
        for part in ("GPU0", "7.0/8.0 GiB", "GPU1", "2.0/8.0 GiB", "RAM"):
            assert part in lines_of(pane)[2]


async def test_what_does_not_fit_says_so_in_words() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        pane.show_plan(plan("baseline_fp16"), SHAPE.file_bytes, 4096)
        pane.show_meters(snapshot(ram_total=9 * GIB + (100 << 20)))
        assert "✗ does not fit" in lines_of(pane)[1]


async def test_a_gpu_that_tells_nothing_breaks_nothing() -> None:
    pane = BudgetPane()
    async with PaneApp(pane).run_test(size=(80, 10)):
        pane.show_plan(plan("uniform_q4_0"), SHAPE.file_bytes, 4096)
        pane.show_meters(snapshot(Gpu(0, "A", None, None, None)))
        assert "GPU0 not told" in " ".join(lines_of(pane)[2].split())
        assert "GiB RAM free" in lines_of(pane)[1]


async def test_no_line_is_wider_than_the_pane() -> None:
    pane = BudgetPane()
    gpus = tuple(Gpu(i, "A", GIB, 80 * GIB, 0) for i in range(8))
    for width in (30, 44, 60, 200):
        pane = BudgetPane()
        async with PaneApp(pane).run_test(size=(width, 10)):
            pane.show_plan(plan("uniform_q4_0"), SHAPE.file_bytes, 131072)
            pane.show_meters(snapshot(*gpus))
            assert len(lines_of(pane)) == 3
            assert all(len(line) <= width - 4 for line in lines_of(pane))
            assert "fit" in text_of(pane) or width < 40
