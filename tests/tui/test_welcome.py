"""The first minute: the word of welcome, and what happens without a demo model."""

from __future__ import annotations

from pathlib import Path

from fakes import FakeWorkbench
from model_shapes import llama_shape
from textual.widgets import Static

from lqtui.tui.app import LqtuiApp
from lqtui.tui.screens.open_model import OpenModelScreen
from lqtui.workbench import Change

WELCOME = "This is the bundled demo model: press 4 on a block, then r. o opens your own."


async def test_the_welcome_is_one_line_that_fits_the_smallest_usual_terminal() -> None:
    app = LqtuiApp(FakeWorkbench(llama_shape()), None, welcome=WELCOME, read_meters=None)  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        line = app.screen.query_one("#welcome", Static)
        assert line.size.height == 1
        assert line.render_line(0).text.strip() == WELCOME


async def test_the_welcome_goes_when_another_model_is_opened() -> None:
    bench = FakeWorkbench(llama_shape())
    bench.models["other.gguf"] = llama_shape(12)
    app = LqtuiApp(bench, None, welcome=WELCOME, read_meters=None)  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        bench.tell(Change.MODEL)  # its fingerprint is there now
        await pilot.pause()
        assert app.screen.query_one("#welcome").display
        await bench.open(Path("/models/other.gguf"))
        await pilot.pause()
        assert not app.screen.query_one("#welcome").display


async def test_without_a_welcome_no_line_is_lost() -> None:
    app = LqtuiApp(FakeWorkbench(llama_shape()), None, read_meters=None)  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24)):
        assert not app.screen.query_one("#welcome").display


async def test_a_missing_demo_is_told_and_the_model_picker_opens() -> None:
    app = LqtuiApp(
        FakeWorkbench(),  # type: ignore[arg-type]
        None,
        problem="the demo model is missing from this installation",
        read_meters=None,
    )
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, OpenModelScreen)
        assert any("missing" in toast.message for toast in app._notifications)
        await pilot.press("escape")
        assert app.screen is app.main
