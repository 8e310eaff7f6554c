"""Several recipes at once and the history of each, as a person flips and goes through them."""

from __future__ import annotations

from driving import Q4, Q8, lines, running, screen_text, status, toasts, types

from lqtui.recipe.presets import preset
from lqtui.tui.screens.compare import CompareScreen
from lqtui.tui.screens.compare_with import CompareWith
from lqtui.tui.screens.history import HistoryScreen
from lqtui.tui.screens.path_prompt import PathPrompt
from lqtui.tui.widgets.header import HeaderLine
from lqtui.tui.widgets.key_bar import KeyBar
from lqtui.tui.widgets.slot_tabs import slot_tabs
from lqtui.workbench import Slot


def header(pilot) -> str:
    return pilot.app.main.query_one(HeaderLine).render_line(0).text


async def settled(pilot, *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.pause()
    await pilot.pause()


async def test_a_copy_is_tried_beside_the_recipe_and_flipped_to_and_closed(workbench):
    async with running(workbench, (120, 36)) as pilot:
        await settled(pilot, "S")
        assert "There is one slot: N copies" in status(pilot)
        await settled(pilot, "4", "N", "8")
        assert "A custom *" in header(pilot) and "B custom-2 *" in header(pilot)
        assert types(workbench, 0) == {Q8}
        await settled(pilot, "S")
        assert types(workbench, 0) == {Q4} and "Slot A: custom, edited." in status(pilot)
        assert " 4  " in lines(pilot)[3]
        place = header(pilot).index("B custom-2")
        await pilot.click(HeaderLine, offset=(place, 0))
        await pilot.pause()
        assert types(workbench, 0) == {Q8} and workbench.undo_label == "block 0 → Q8_0"
        await pilot.app.main.action_run_command("slot.close")
        await pilot.pause()
        assert "custom-2 in slot B was edited since it was named" in screen_text(pilot)
        await settled(pilot, "y")
        assert "│" not in header(pilot) and "custom *" in header(pilot)
        await pilot.app.main.action_run_command("slot.close")
        await pilot.pause()
        assert toasts(pilot) == ["this is the only slot, and a model has always one"]


async def test_two_slots_are_compared_cell_by_cell_and_the_others_types_taken(workbench):
    async with running(workbench, (120, 36)) as pilot:
        await settled(pilot, "4", "N", "8", "equals_sign")
        assert isinstance(pilot.app.screen, CompareWith)
        assert "slot A  custom *" in screen_text(pilot)
        await settled(pilot, "a")
        assert isinstance(pilot.app.screen, CompareScreen)
        shown = screen_text(pilot)
        assert "B custom-2" in shown and "7 tensors differ" in shown and "8→4 " in shown
        await settled(pilot, "t")
        assert types(workbench, 0) == {Q4} and workbench.undo_label == "slot A's custom"
        await settled(pilot, "equals_sign", "G", "enter")
        assert isinstance(pilot.app.screen, PathPrompt)


async def test_undo_and_redo_say_what_they_would_do_in_the_key_bar_and_the_palette(workbench):
    async with running(workbench, (160, 36)) as pilot:
        main = pilot.app.main
        await settled(pilot, "4", "j", "8")
        assert "u undo: block 1 → Q8_0" in main.query_one(KeyBar).said
        await settled(pilot, "u")
        bar = main.query_one(KeyBar).said
        assert "u undo: block 0 → Q4_0" in bar
        assert main.command_name("recipe.redo", "Redo") == "Redo: block 1 → Q8_0"
        assert main.command_name("recipe.presets", "Presets") == "Presets"


async def test_the_history_shows_each_step_in_the_layers_and_goes_to_the_chosen_one(workbench):
    async with running(workbench, (120, 36)) as pilot:
        await settled(pilot, "4", "j", "8", "a", "4", "u", "H")
        assert isinstance(pilot.app.screen, HistoryScreen)
        shown = screen_text(pilot)
        assert "▸ block 1 → Q8_0" in shown and "◌ blocks 0-29 → Q4_0" in shown
        assert "the recipe as it is" in shown
        before = workbench.plan
        await settled(pilot, "j")
        assert "203 tensors other than now" in screen_text(pilot)
        assert all(" 4  " in line for line in lines(pilot)[3:20]) and workbench.plan is before
        await settled(pilot, "escape")
        assert workbench.plan is before and " 16 " in lines(pilot)[9].replace("F ", "16 ")
        await settled(pilot, "H", "g", "enter")
        assert workbench.plan.unchanged and workbench.redo_label == "block 0 → Q4_0"
        assert status(pilot) == "Gone to: the model as it is."


async def test_the_history_keeps_up_with_what_a_job_puts_into_the_slot(workbench):
    async with running(workbench, (80, 24)) as pilot:
        await settled(pilot, "4", "H")
        workbench.use(preset("uniform_q4_0", workbench.plan.shape), "fit 100 MiB")
        await pilot.pause()
        await pilot.pause()
        assert "▸ fit 100 MiB" in screen_text(pilot)
        await settled(pilot, "u", "u", "enter")
        assert workbench.plan.unchanged


def test_the_header_gives_up_names_before_letters_and_the_active_name_last(workbench):
    plan = workbench.plan
    slots = [Slot(letter, plan, plan.recipe, letter == "B") for letter in "ABCDEFGHI"]
    assert str(slot_tabs(slots[:2], 0, 40)) == " A base │ B base * "
    narrow = str(slot_tabs(slots, 4, 60))
    assert len(narrow) <= 60 and " E base " in narrow
    assert all(f" {letter} " in narrow for letter in "ABCDEFGHI")
