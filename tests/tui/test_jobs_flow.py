"""Jobs from the first key to the next start, on the bundled demo model with the real engine."""

from __future__ import annotations

from pathlib import Path

from driving import running, screen_text, status, toasts
from panes import lines_of
from test_demo_budget import until

from lqtui.store.paths import Paths
from lqtui.tui.screens.confirm import ConfirmScreen
from lqtui.tui.screens.log import LogScreen
from lqtui.tui.widgets.jobs import JobsPane
from lqtui.workbench import JobState, Settings, Workbench

SETTINGS = Settings(n_ctx=128, chunks=300, threads=1, repetitions=1, n_prompt=16, n_gen=4)


def states(bench: Workbench) -> dict[str, str]:
    return {job.title: job.state.value for job in bench.jobs if job.kind != "fingerprint"}


async def test_jobs_are_moved_paused_cancelled_done_again_and_go_on_after_a_restart(
    home: Path, demo_model: Path
) -> None:
    bench = Workbench(Paths.from_environment(), SETTINGS)
    async with running(bench, size=(140, 40), model_path=demo_model, notifications=True) as pilot:
        pane = pilot.app.main.query_one(JobsPane)
        await until(pilot, lambda: bench.model is not None and bench.model.digest)

        await pilot.press("s", "r", "4", "r", "f5")
        sweep, base, mixed = states(bench)
        await until(pilot, lambda: bench.jobs[1].stage == "scoring" and bench.jobs[1].eta)
        assert "queued · next" in lines_of(pane)[1] and "left" in "".join(lines_of(pane)[:2])
        assert pilot.app.focused is pane
        assert status(pilot).startswith(f"{sweep} runs for ") and "kept" in status(pilot)

        await pilot.press("down")
        await until(pilot, lambda: status(pilot) == f"{base} waits for the job that runs.")
        await pilot.press("down", "K")  # the last of those that wait, before the other one
        await pilot.pause()
        assert [job.place for job in bench.jobs if job.title in (base, mixed)] == [2, 1]

        await pilot.press("g", "space")
        await until(pilot, lambda: states(bench)[mixed] == "running")
        assert states(bench)[sweep] == "paused" and "of scoring · nothing is lost" in screen_text(pilot)

        await pilot.press("l")
        assert isinstance(pilot.app.screen, LogScreen)
        await until(pilot, lambda: "following" in screen_text(pilot), 10)
        await pilot.press("escape")

        assert pane.cursor == bench.jobs[1].id
        await pilot.press("g", "x")
        await until(pilot, lambda: states(bench)[mixed] == "cancelled")
        pane.move_cursor(next(job.id for job in bench.jobs if job.title == mixed))
        await pilot.press("R")
        await until(pilot, lambda: states(bench)[mixed] == "queued")
        assert "Once more" in status(pilot)

        await pilot.press("q")
        await pilot.pause()
        question = "3 jobs are not finished; they can go on next time. Leave?"
        assert isinstance(pilot.app.screen, ConfirmScreen) and pilot.app.screen.question == question
        await pilot.press("y")

    again = Workbench(Paths.from_environment(), SETTINGS)
    async with running(again, size=(140, 40), model_path=demo_model, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        shown = screen_text(pilot)
        assert "3 jobs were not finished" in shown and all(title in shown for title in (sweep, base, mixed))
        known = sum(result.chunks for result in again.results)
        assert known > 0
        await pilot.press("y")
        await until(pilot, lambda: "running" in states(again).values())
        assert list(states(again)) == [base, mixed, sweep]  # the paused one was after those that waited
        assert "3 jobs go on." in status(pilot)
        await until(pilot, lambda: sum(result.chunks for result in again.results) > known)
        assert all(job.state is not JobState.FAILED for job in again.jobs) and not toasts(pilot)[1:]
