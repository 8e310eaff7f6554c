"""Keys that a person chose: they do what they say, and everything that names a key names the chosen one."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import Q4, Q8, screen_text, status, toasts, types
from fakes import FakeWorkbench
from textual.command import CommandPalette
from textual.widgets import Input

from lqtui.tui.app import LqtuiApp
from lqtui.tui.keys.shown import with_keys
from lqtui.tui.screens.help import HelpScreen
from lqtui.tui.screens.open_model import OpenModelScreen
from lqtui.tui.screens.save import SaveRecipeScreen
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.workbench.preferences import Preferences

KEYS = {
    "type.q4": "8",
    "type.q8": "4",
    "grid.down": "n,down",
    "recipe.save": "j",
    "recipe.undo": "f6",
    "recipe.redo": "f7",
    "model.open": "O",
    "run.measure": "F",
    "matters.frontier": "r",
    "app.palette": ":",
    "app.quit": "Q",
}


def remapped(workbench: FakeWorkbench, **more: object) -> LqtuiApp:
    return LqtuiApp(
        workbench, None, read_meters=None, preferences=Preferences(keys=KEYS, theme="nord"), **more
    )


async def test_chosen_keys_do_what_they_say_and_the_old_ones_do_it_no_more(workbench: FakeWorkbench) -> None:
    app = remapped(workbench)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        assert app.theme == "nord"
        await pilot.press("8")
        assert types(workbench, 0) == {Q4}
        await pilot.press("n", "4")
        assert types(workbench, 1) == {Q8}
        await pilot.press("u")
        assert types(workbench, 1) == {Q8}
        await pilot.press("f6")
        assert types(workbench, 1) != {Q8}
        await pilot.pause()
        assert "f7 makes it again" in status(pilot).lower()
        await pilot.press("f4", "n", "f2", "q")
        assert not workbench.closed and app.query_one(LayerGrid).selection.row == 2
        await pilot.press("F")
        assert any(job.active for job in workbench.jobs)
        await pilot.press("O")
        assert isinstance(app.screen, OpenModelScreen)
        await pilot.press("escape", "ctrl+q", "y")
        assert workbench.closed


async def test_everything_that_names_a_key_names_the_chosen_one(workbench: FakeWorkbench) -> None:
    app = remapped(workbench)
    async with app.run_test(size=(160, 50)) as pilot:
        await pilot.pause()
        told = screen_text(pilot)
        assert "8 Q4" in told and "4 Q8" in told and "F6 undo" in told
        assert "F measures this recipe" in told
        await pilot.press("colon", *"undo")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "Undo  (F6)" in screen_text(pilot)
        await pilot.press("escape", "?")
        assert isinstance(app.screen, HelpScreen)
        shown = {tuple(line.split(maxsplit=2)[:2]) for line in screen_text(pilot).splitlines() if "│" in line}
        assert ("│", "n") in shown or any("n ↓" in line for line in screen_text(pilot).splitlines())


async def test_a_palette_key_that_writes_a_character_writes_it_where_a_person_types(
    workbench: FakeWorkbench,
) -> None:
    app = remapped(workbench)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        await pilot.press("j")  # name and save
        assert isinstance(app.screen, SaveRecipeScreen)
        await pilot.press("colon")
        assert isinstance(app.screen, SaveRecipeScreen)
        assert ":" in app.screen.query_one(Input).value
        await pilot.press("escape", "?", "colon")
        assert CommandPalette.is_open(app)  # over a dialog too


async def test_without_a_model_the_chosen_key_for_opening_one_is_told() -> None:
    app = remapped(FakeWorkbench())
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await pilot.pause()
        assert screen_text(pilot).lower().count("press o to open a gguf file") == 2
        assert "press o to" not in screen_text(pilot) and "Press o to" not in screen_text(pilot)
        await pilot.press("F")
        assert toasts(pilot) == ["No model is open: press O to open one."]


async def test_a_settings_file_with_mistakes_is_told_of_and_the_app_lives(
    workbench: FakeWorkbench, tmp_path: Path
) -> None:
    app = LqtuiApp(workbench, None, read_meters=None, notices=["settings.toml: tour is 3", "and more"])
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await pilot.pause()
        assert toasts(pilot) == ["settings.toml: tour is 3", "and more"]
        await pilot.press("4")
        assert types(workbench, 0) == {Q4}


@pytest.mark.parametrize(
    ("text", "said"),
    [("{model.open} and {jobs.cancel}", "O and x"), ("{not.there", "{not.there"), ("{}", "{}")],
)
async def test_a_text_names_commands_by_their_ids(workbench: FakeWorkbench, text: str, said: str) -> None:
    assert with_keys(remapped(workbench), text) == said
