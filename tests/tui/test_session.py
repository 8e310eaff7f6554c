"""The app begins where it was left: recipes, cursor, scope, pane, chart and theme, even after a kill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from driving import Q8, toasts, types
from textual.pilot import Pilot

from lqtui.store.paths import Paths
from lqtui.tui.app import LqtuiApp
from lqtui.tui.widgets.grid_selection import Scope
from lqtui.tui.widgets.header import HeaderLine
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.metric import Metric
from lqtui.workbench import Workbench
from lqtui.workbench.preferences import Preferences
from lqtui.workbench.session import Sessions


@asynccontextmanager
async def begun(paths: Paths, model: Path | None = None, theme: str = "") -> AsyncIterator[Pilot[None]]:
    """The app as `lqtui` or `lqtui MODEL` opens it."""
    sessions = Sessions(paths)
    left = sessions.last()
    bench = Workbench(paths, left.settings)
    bench.sessions = sessions
    preferences = Preferences(theme=theme)
    app = LqtuiApp(bench, model or left.model, read_meters=None, look=left.look, preferences=preferences)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await pilot.pause(0.1)
        await app.workers.wait_for_complete()
        await pilot.pause(0.1)
        yield pilot


async def test_the_app_begins_where_it_was_left(paths: Paths, tiny_model: Path) -> None:
    async with begun(paths, tiny_model) as pilot:
        await pilot.press("j", "j", "8", "N", "l", "l", "4", "c", "f4")
        pilot.app.theme = "nord"
        await pilot.pause()
        main = pilot.app.main
        left = main.query_one(LayerGrid).selection
        digests = [slot.plan.digest for slot in main.workbench.slots]
        await pilot.press("q")
    async with begun(paths) as pilot:
        main = pilot.app.main
        found = main.query_one(LayerGrid).selection
        assert (found.row, found.column, found.scope) == (left.row, left.column, Scope.TENSOR)
        assert [slot.plan.digest for slot in main.workbench.slots] == digests
        assert "B custom-2 *" in main.query_one(HeaderLine).render().plain
        assert main.focused is not None and main.focused.id == "results"
        assert main._metric is Metric.PPL and pilot.app.theme == "nord"
        assert toasts(pilot) == []
        await pilot.press("q")
    async with begun(paths, theme="textual-light") as pilot:
        assert pilot.app.theme == "textual-light"


async def test_what_was_done_is_remembered_while_the_app_runs(paths: Paths, tiny_model: Path) -> None:
    async with begun(paths, tiny_model) as pilot:
        await pilot.press("8")
        kept = paths.state / "sessions"
        async with asyncio.timeout(20):  # it looks every second
            while not any("Q8_0" in path.read_text() for path in kept.glob("tiny-*.json")):
                await pilot.pause(0.1)
        async with begun(paths) as another:  # which finds the session taken
            (said,) = toasts(another)
            assert said == "tiny.gguf is open in another lqtui; this one remembers a session of its own."
            assert another.app.main.workbench.plan.unchanged
        kept = paths.state / "sessions"
        copied = {path.name: path.read_bytes() for path in kept.glob("*.json")}
    for name, raw in copied.items():  # what a kill -9 would have left
        (kept / name).write_bytes(raw)
    async with begun(paths, tiny_model) as pilot:
        assert types(pilot.app.main.workbench, 0) == {Q8}
