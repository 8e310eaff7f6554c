"""The tour of five hints: one at a time, each until it was followed, then never again."""

from __future__ import annotations

import pytest
from driving import running, status
from fakes import FakeWorkbench
from model_shapes import llama_shape
from textual.widgets import Static

from lqtui.store.paths import Paths
from lqtui.tui.app import LqtuiApp
from lqtui.tui.tour import HINTS
from lqtui.workbench import Workbench
from lqtui.workbench.preferences import Preferences
from lqtui.workbench.touring import TourProgress


def newcomer() -> FakeWorkbench:
    bench = FakeWorkbench(llama_shape())
    bench.tour = TourProgress()
    return bench


def line(pilot) -> str:
    """What the tour says, nothing where it is not seen; never more than there is room for."""
    shown = pilot.app.main.query_one("#welcome", Static)
    text = str(shown.render()) if shown.display else ""
    assert len(text) <= shown.content_size.width or not shown.display
    return text


async def press(pilot, *keys: str) -> str:
    await pilot.press(*keys)
    await pilot.pause()
    await pilot.pause()
    return line(pilot)


async def test_each_hint_goes_when_the_person_has_done_it_and_none_comes_after_the_fifth():
    bench = newcomer()
    async with running(bench, (80, 24)) as pilot:
        assert line(pilot).startswith("1/5  4 makes this block Q4_0") and line(pilot).endswith(" skip ")
        assert (await press(pilot, "j", "k")).startswith("1/5")
        assert (await press(pilot, "4")).startswith("2/5  v starts a range")
        assert (await press(pilot, "v", "j", "8", "escape")).startswith("3/5  r measures")
        assert (await press(pilot, "r")).startswith("4/5  F3 goes to the chart")
        assert (await press(pilot, "f3")).startswith("5/5  e shows")
        await press(pilot, "f2", "e")
        assert await press(pilot, "escape") == "" and bench.tour.over
        assert "That was the tour; ? lists every key." in status(pilot)
        assert await press(pilot, "4", "r") == ""


async def test_what_was_done_before_its_hint_came_is_not_asked_for():
    async with running(newcomer(), (120, 36)) as pilot:
        assert (await press(pilot, "r")).startswith("1/5")
        assert (await press(pilot, "a", "4")).startswith("4/5")


async def test_a_person_who_skips_it_is_left_alone_until_the_palette_begins_it_again():
    bench = newcomer()
    async with running(bench, (80, 24)) as pilot:
        await pilot.click("#welcome", offset=(line(pilot).index("skip") + 2, 0))
        assert await press(pilot) == "" and bench.tour.over
        await pilot.app.main.action_run_command("tour.start")
        assert (await press(pilot)).startswith("1/5") and not bench.tour.over


@pytest.mark.parametrize("wanted", [True, False])
async def test_the_word_of_welcome_stays_until_the_first_hint_was_followed(wanted):
    bench = newcomer()
    app = LqtuiApp(bench, None, welcome="Hello.", read_meters=None, preferences=Preferences(tour=wanted))  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        bench.keep_tour(TourProgress())
        await press(pilot, "4")
        assert line(pilot) == "Hello." or (wanted and line(pilot).startswith("2/5"))
        assert wanted or line(pilot) == "Hello."


async def test_the_tour_goes_on_where_it_was_left_in_the_next_session(paths: Paths):
    first = Workbench(paths)
    assert first.tour == TourProgress()
    first.keep_tour(TourProgress(("toggle",)))
    await first.close()
    again = Workbench(paths)
    assert again.tour == TourProgress(("toggle",)) and len(HINTS) == 5
    (paths.state / "tour.json").write_text("not JSON")
    await again.close()
    third = Workbench(paths)
    assert third.tour == TourProgress()
    await third.close()
