"""Recipes from elsewhere in the app: imported, compared cell by cell, and reported."""

from __future__ import annotations

from pathlib import Path

from driving import Q4, Q8, running, toasts, types
from textual.widgets import Input

from lqtui.export.tensor_type_file import tensor_type_file
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import resolve
from lqtui.store.paths import Paths
from lqtui.tui.app import LqtuiApp
from lqtui.tui.screens.compare import CompareScreen, DifferenceList
from lqtui.tui.screens.take_gguf import TakeGguf
from lqtui.workbench import Settings, Workbench
from lqtui.workbench.interchange import RecipeFormat


async def given_path(pilot, key: str, path: Path) -> None:
    """Press a key that asks for a path, and give it one."""
    await pilot.press(key)
    await pilot.pause()
    pilot.app.screen.query_one(Input).value = str(path)
    await pilot.press("enter")
    for _ in range(100):
        await pilot.pause(0.05)
        if not any(worker.is_running for worker in pilot.app.workers):
            break
    await pilot.pause()


async def test_a_file_is_compared_and_its_types_taken(paths: Paths, demo_model: Path, tmp_path: Path) -> None:
    bench = Workbench(paths, Settings())
    await bench.open(demo_model)
    assert bench.model is not None
    plan = resolve(bench.model.shape, preset("first_4_layers_q8", bench.model.shape))
    file = tmp_path / "other.toml"
    bench.write_recipe(file, plan, RecipeFormat.TOML)
    bench.use(preset("uniform_q4_0", bench.model.shape), "preset")
    async with LqtuiApp(bench, None, read_meters=None).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await given_path(pilot, "=", file)
        assert isinstance(pilot.app.screen, CompareScreen)
        cells = pilot.app.screen.query_one(DifferenceList)
        shown = [cells.render_line(y).text for y in range(cells.size.height)]
        assert "4→8" in next(line for line in shown if line.lstrip().startswith("3 "))
        assert "→" not in next(line for line in shown if line.lstrip().startswith("4 "))
        await pilot.press("t")
        for _ in range(100):
            await pilot.pause(0.05)
            if bench.plan is not None and bench.plan.digest == plan.digest:
                break
        assert bench.plan is not None and bench.plan.digest == plan.digest
        await pilot.press("u")
        await pilot.pause(0.1)
        assert bench.plan.digest != plan.digest, "taking them is an edit that can be undone"
    await bench.close()


async def test_of_a_gguf_its_types_are_taken_or_the_file_itself(
    paths: Paths, demo_model: Path, tmp_path: Path
) -> None:
    bench = Workbench(paths, Settings())
    await bench.open(demo_model)
    assert bench.model is not None and bench.plan is not None
    base, file = bench.plan.digest, tmp_path / "theirs.gguf"
    plan = resolve(bench.model.shape, preset("first_4_layers_q8", bench.model.shape))
    await bench.wait(bench.quantize_plan(plan, file))
    app = LqtuiApp(bench, None, read_meters=None)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()

        async def answered(key: str, wanted: str) -> None:
            await given_path(pilot, "i", file)
            assert isinstance(app.screen, TakeGguf)
            await pilot.press(key)
            for _ in range(200):
                await pilot.pause(0.05)
                if bench.plan is not None and bench.plan.recipe.name == wanted:
                    break
            assert bench.plan is not None and bench.plan.recipe.name == wanted

        await answered("f", "theirs.gguf")
        assert bench.plan.copied and bench.undo_label == "take theirs.gguf"
        await pilot.pause(0.1)
        assert any(f"{len(bench.plan.copied)} tensors are copied" in toast for toast in toasts(pilot))
        await pilot.press("e")
        await pilot.pause()
        assert any("llama-quantize cannot copy" in toast for toast in toasts(pilot))
        await answered("enter", "theirs")
        assert not bench.plan.copied and bench.plan.digest == plan.digest
        await given_path(pilot, "i", file)
        await pilot.press("escape")
        await pilot.press("u", "u")
        await pilot.pause(0.1)
        assert bench.plan.digest == base
    await bench.close()


async def test_what_is_no_file_of_the_model_is_told_and_changes_nothing(
    paths: Paths, demo_model: Path, tiny_model: Path
) -> None:
    bench = Workbench(paths, Settings())
    await bench.open(demo_model)
    plan = bench.plan
    app = LqtuiApp(bench, None, read_meters=None)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await pilot.pause()
        await given_path(pilot, "i", tiny_model)
        await pilot.press("f")
        for _ in range(200):
            await pilot.pause(0.05)
            if any("is of another model" in toast for toast in toasts(pilot)):
                break
        assert any("is of another model" in toast for toast in toasts(pilot))
        assert bench.plan is plan and bench.undo_label is None
    await bench.close()


async def test_a_tensor_type_file_is_imported_and_its_surprises_told(
    paths: Paths, demo_model: Path, tmp_path: Path
) -> None:
    bench = Workbench(paths, Settings())
    await bench.open(demo_model)
    file = tmp_path / "types.txt"
    file.write_text("blk.1=q8_0\n")
    app = LqtuiApp(bench, None, read_meters=None)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await pilot.pause()
        await given_path(pilot, "i", file)
        assert any("1,10-19" in toast for toast in toasts(pilot))
        assert bench.plan is not None and bench.plan.recipe.name == "types"
        file.write_text(tensor_type_file(bench.plan))
        await given_path(pilot, "i", tmp_path / "types.txt")
        assert bench.undo_label == "import types.txt"
    await bench.close()


async def test_what_cannot_be_imported_is_a_toast(workbench, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("nonsense")
    async with running(workbench, notifications=True) as pilot:
        await given_path(pilot, "i", tmp_path / "bad.toml")
        assert any("bad.toml" in toast for toast in toasts(pilot))
        assert types(workbench, 0) & {Q4, Q8} == set()


async def test_a_report_without_results_is_refused_in_a_toast(
    paths: Paths, demo_model: Path, tmp_path: Path
) -> None:
    bench = Workbench(paths, Settings())
    await bench.open(demo_model)
    app = LqtuiApp(bench, None, read_meters=None)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        await given_path(pilot, "E", tmp_path / "report.html")
        assert any("nothing is measured" in toast for toast in toasts(pilot))
        assert not (tmp_path / "report.html").exists()
    await bench.close()


async def test_a_recipe_is_saved_as_tensor_types_where_its_name_says_so(
    paths: Paths, demo_model: Path, tmp_path: Path
) -> None:
    bench = Workbench(paths, Settings())
    await bench.open(demo_model)
    assert bench.model is not None
    bench.use(preset("ffn_q8", bench.model.shape), "preset")
    async with LqtuiApp(bench, None, read_meters=None).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await given_path(pilot, "n", tmp_path / "mine.txt")
        assert bench.plan is not None
        assert (tmp_path / "mine.txt").read_text() == tensor_type_file(bench.plan)
    await bench.close()
