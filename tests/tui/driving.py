"""Running the app under Pilot, and reading what it shows."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

from fakes import FakeWorkbench

from lqtui.recipe.types import TensorType
from lqtui.tui.app import LqtuiApp
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.status_line import StatusLine

Q4, Q8, F16 = TensorType.Q4_0, TensorType.Q8_0, TensorType.F16


@asynccontextmanager
async def running(
    workbench: FakeWorkbench, size=(120, 36), model_path: Path | None = None, *, notifications: bool = False
):
    app = LqtuiApp(workbench, model_path, read_meters=None)
    async with app.run_test(size=size, notifications=notifications) as pilot:
        await pilot.pause()
        yield pilot


def types(workbench: FakeWorkbench, block: int) -> set[TensorType]:
    return {p.effective for p in workbench.plan.tensors if p.quantizable and p.tensor.block == block}


def lines(pilot) -> list[str]:
    grid = pilot.app.main.query_one(LayerGrid)
    return [grid.render_line(y).text.rstrip() for y in range(grid.size.height)]


def toasts(pilot) -> list[str]:
    return [notification.message for notification in pilot.app._notifications]


def status(pilot) -> str:
    """What the status line says."""
    return pilot.app.main.query_one(StatusLine).render_line(0).text.strip()


def screen_text(pilot) -> str:
    """All that the terminal shows."""
    rows = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in row) for row in rows)
