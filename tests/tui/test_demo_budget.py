"""From what matters to a recipe that fits a budget, on the bundled demo model with the real engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from driving import lines, running, screen_text, status, toasts
from panes import lines_of

from lqtui.measure.rounding import small
from lqtui.store.paths import Paths
from lqtui.tui.screens.frontier import FrontierList
from lqtui.tui.widgets.budget import BudgetPane
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.tradeoff import TradeoffChart
from lqtui.workbench import JobState, Settings, Workbench

MIB = 1 << 20


async def until(pilot, done: Callable[[], object], seconds: float = 240.0) -> None:
    """Wait until something is so; fails with the jobs where it is not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not done():
        assert asyncio.get_running_loop().time() < deadline, pilot.app.main.workbench.jobs
        await pilot.pause(0.1)
    await pilot.pause(0.2)


async def test_from_what_matters_to_a_recipe_that_fits_a_budget(home: Path, demo_model: Path) -> None:
    bench = Workbench(Paths.from_environment(), Settings(n_ctx=128, chunks=1, threads=1))

    def all_done() -> bool:
        assert all(job.state is not JobState.FAILED for job in bench.jobs), bench.jobs
        return not any(job.active for job in bench.jobs)

    async with running(bench, model_path=demo_model) as pilot:
        await until(pilot, lambda: bench.model is not None and bench.model.digest)

        await pilot.press("m", "right", "enter")  # each block, measured alone
        await until(pilot, lambda: bench.importance.scores and all_done())
        shown = lines(pilot)
        assert shown[0].split()[-2:] == ["KLD", "Q4_0"]
        assert all(row.split()[-1][0] in "▏▎▍▌▋▊▉█" for row in shown[2:27])
        assert "±" in status(pilot) and "measured on 1 chunk" in status(pilot)
        await pilot.press("I", "I")
        await pilot.pause()
        assert "LIM ranks blocks with ρ = " in status(pilot)
        await pilot.press("I", "I", "I")
        assert "KLD" in lines(pilot)[0]

        await pilot.press("4")
        await pilot.pause()
        pane, grid = pilot.app.main.query_one(BudgetPane), pilot.app.main.query_one(LayerGrid)
        predicted = small(bench.prediction(bench.plan))[0]
        assert f"predicted KLD {predicted} (from singles)" in lines_of(pane)[1]

        await pilot.press("b", *"1", "enter")
        await pilot.pause(0.2)
        assert "choose at least" in screen_text(pilot)
        await pilot.press("backspace", *"5.5", "down", "down")
        pilot.app.screen.query_one("#by").focus()
        pilot.app.screen.query_one("#by").focus()
        await pilot.press("right", "down", "down", "space", "enter")  # by block; block 0 as it is now
        await pilot.pause()
        before = bench.plan.digest
        await until(pilot, lambda: bench.plan.digest != before and all_done())
        assert bench.plan.file_bytes <= 5.5 * MIB
        assert {p.requested for p in bench.plan.tensors if p.tensor.block == 0 and p.quantizable} == {"Q4_0"}
        assert any("on other text (predicted" in toast.replace("\n", " ") for toast in toasts(pilot))
        assert any("◆ measured" in line for line in lines_of(pane))

        await pilot.press("down", "y")
        await pilot.pause()
        assert "KLD" in toasts(pilot)[-1] and "MiB" in toasts(pilot)[-1]

        chart = pilot.app.main.query_one(TradeoffChart)
        assert len(chart.scene.forecasts) > 20 and "○" in "".join(lines_of(chart._canvas))
        await pilot.press("F")
        await pilot.pause()
        assert any("±" in line for line in lines_of(pilot.app.screen.query_one(FrontierList)))
        await pilot.press("g", "enter")
        await pilot.pause()
        assert bench.plan.digest == bench.frontier[0].plan.digest
        await pilot.press("u", "u")
        await pilot.pause()
        assert bench.plan.digest == before and grid.plan is bench.plan
        known, predicted = bench.importance, bench.prediction(bench.plan)
        recipe = bench.plan.recipe

    # The next day all of that is there unasked.
    later = Workbench(Paths.from_environment(), Settings(n_ctx=128, chunks=1, threads=1))
    async with running(later, model_path=demo_model) as pilot:
        grid = pilot.app.main.query_one(LayerGrid)
        await until(pilot, lambda: grid.importance is not None)
        assert not [job for job in later.jobs if job.kind != "fingerprint"]
        assert set(later.importance.scores) == set(known.scores)
        assert lines(pilot)[0].split()[-2:] == ["KLD", "Q4_0"]
        later.use(recipe, "again")
        await pilot.pause()
        assert small(later.prediction(later.plan)) == small(predicted)
