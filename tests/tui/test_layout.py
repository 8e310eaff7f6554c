"""Where the panes are at each size, the zoom of one, and the border that is moved between them."""

from __future__ import annotations

import pytest
from driving import running, screen_text, status
from fakes import FakeWorkbench
from model_shapes import llama_shape

from lqtui.tui.screens.main_panes import mode_of

PANES = ("#layers", "#budget", "#chart", "#results", "#jobs")


def region(pilot, name):
    return pilot.app.main.query_one(name).region


def seen(pilot) -> list[str]:
    """The panes that are in sight."""
    return [name[1:] for name in PANES if region(pilot, name).area]


@pytest.mark.parametrize(
    ("size", "mode"),
    [
        ((59, 40), "small"),
        ((300, 17), "small"),
        ((60, 18), "tabs"),
        ((80, 24), "tabs"),
        ((103, 60), "tabs"),
        ((104, 29), "split"),
        ((104, 30), "wide"),
        ((239, 80), "wide"),
        ((240, 30), "broad"),
    ],
)
def test_the_panes_stand_as_the_size_allows(size, mode) -> None:
    assert mode_of(*size) == mode


@pytest.mark.parametrize("size", [(60, 18), (104, 18), (300, 80)], ids=str)
async def test_an_app_starts_at_every_size_with_panes_that_do_not_overlap(size) -> None:
    async with running(FakeWorkbench(llama_shape(80)), size=size) as pilot:
        panes = [region(pilot, f"#{name}") for name in seen(pilot)]
        assert panes and pilot.app.focused is not None
        screen = pilot.app.main.region
        for i, pane in enumerate(panes):
            assert screen.contains_region(pane)
            assert all(not pane.overlaps(other) for other in panes[i + 1 :])
        assert {len(line) for line in screen_text(pilot).splitlines()} == {size[0]}


async def test_at_the_largest_sizes_what_was_measured_stands_beside_what_is_predicted(workbench) -> None:
    async with running(workbench, size=(300, 80)) as pilot:
        layers, chart, results = (region(pilot, name) for name in ("#layers", "#chart", "#results"))
        assert layers.right <= chart.x and chart.right <= results.x
        assert chart.height > 60 and results.height > 60 and region(pilot, "#jobs").height > 6


async def test_z_gives_the_present_pane_the_whole_body_and_back(workbench) -> None:
    async with running(workbench) as pilot:
        before = {name: region(pilot, name) for name in PANES}
        await pilot.press("z")
        await pilot.pause()
        assert seen(pilot) == ["layers"] and region(pilot, "#layers").width == 120
        assert "z shows the other panes again" in status(pilot)
        await pilot.press("4")
        assert workbench.undo_label == "block 0 → Q4_0", "its keys do what they did"
        await pilot.press("f4")
        await pilot.pause()
        assert seen(pilot) == ["results"], "the other panes are a key away, and as large"
        await pilot.press("f3")
        await pilot.pause()
        assert seen(pilot) == ["chart"] and region(pilot, "#chart").size == region(pilot, "#body").size
        await pilot.press("f2", "z")
        await pilot.pause()
        assert {name: region(pilot, name) for name in PANES} == before


async def test_a_zoomed_pane_stays_so_when_the_terminal_is_resized(workbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("z")
        for size in ((200, 50), (50, 12), (80, 24), (120, 36)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert seen(pilot) == ["layers"]
        await pilot.press("z")
        await pilot.pause()
        assert len(seen(pilot)) == len(PANES)


async def test_the_border_beside_the_layers_moves_by_keys_and_by_the_mouse_as_far_as_both_stay_legible(
    workbench,
) -> None:
    async with running(workbench) as pilot:
        start = region(pilot, "#layers").width
        await pilot.press("greater_than_sign", "greater_than_sign")
        await pilot.pause()
        assert region(pilot, "#layers").width == start + 8 == 120 - region(pilot, "#chart").width
        await pilot.press("less_than_sign")
        await pilot.pause()
        assert region(pilot, "#layers").width == start + 4
        await pilot.mouse_down("#layers", offset=(start + 3, 10))
        await pilot.hover(pilot.app.main, offset=(49, 12))
        await pilot.mouse_up(pilot.app.main, offset=(49, 12))
        await pilot.pause()
        assert region(pilot, "#layers").width == 50 == pilot.app.main.layers_width
        await pilot.hover(pilot.app.main, offset=(80, 12))
        assert region(pilot, "#layers").width == 50, "nobody holds it any more"
        for key, least in (("less_than_sign", 40), ("greater_than_sign", 120 - 44)):
            await pilot.press(*[key] * 12)
            await pilot.pause()
            assert region(pilot, "#layers").width == least
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert region(pilot, "#layers").width == 80, "one pane alone has the whole width"
        await pilot.resize_terminal(160, 36)
        await pilot.pause()
        assert region(pilot, "#layers").width == 120 - 44, "and what the person chose comes back"


@pytest.mark.parametrize("size", [(80, 24), (104, 24)], ids=str)
async def test_a_toast_hides_neither_the_tabs_nor_the_header(workbench, size) -> None:
    async with running(workbench, size=size, notifications=True) as pilot:
        pilot.app.main.welcome("This is the bundled demo model.")
        before = screen_text(pilot).splitlines()[:3]
        pilot.app.notify("KLD 0.0123 after 5 chunks", title="measure first_4_layers_q8")
        await pilot.pause()
        after = screen_text(pilot).splitlines()
        assert "KLD 0.0123" in "".join(after) and "jobs" in "".join(after[:3])
        await pilot.pause()
        assert [line for line in after[:3] if "jobs" in line or "lqtui" in line] == [
            line for line in before if "jobs" in line or "lqtui" in line
        ]
