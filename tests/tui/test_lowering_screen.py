"""The lowering curves in the app: started, followed, stopped, and told apart without colour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from driving import running, screen_text
from fakes import FakeWorkbench
from model_shapes import llama_shape
from panes import PaneApp, lines_of, text_of

from lqtui.recipe.types import TensorType
from lqtui.tui.screens.lowering import LoweringScreen, fallback_sentence
from lqtui.tui.widgets.chart_curves import LOOKS, look_of
from lqtui.tui.widgets.chooser import Chooser
from lqtui.tui.widgets.curves import CurvesChart
from lqtui.tui.widgets.type_toggles import types_for
from lqtui.workbench import Change, Curve, CurvePoint, JobState, Lowered

SHAPE = llama_shape(24, width=512, ffn=1536, heads=8, kv_heads=8)
SHARES = [step / 8 for step in range(9)]
KEPT = {
    "measured": [1, 0.98, 0.97, 0.965, 0.96, 0.955, 0.95, 0.93, 0.84],
    "LIM": [1, 0.978, 0.96, 0.95, 0.94, 0.93, 0.91, 0.89, 0.84],
    "ZD": [1, 0.99, 0.975, 0.96, 0.93, 0.92, 0.915, 0.9, 0.84],
    "ZD two-sided": [1, 0.985, 0.97, 0.94, 0.92, 0.91, 0.89, 0.87, 0.84],
    "measured, pruned": [1, 0.96, 0.71, 0.27, 0.24, 0.16, 0.15, 0.14],
    "random, mean of 3": [1, 0.95, 0.94, 0.93, 0.9, 0.89, 0.88, 0.86, 0.84],
}


def curve(label: str, kept: Sequence[float]) -> Curve:
    sd = 0.02 if label.startswith("random") else 0.0
    return Curve(
        label, tuple(CurvePoint(x, y, 0.1, sd if x else 0.0) for x, y in zip(SHARES, kept, strict=False))
    )


CURVES = tuple(curve(label, kept) for label, kept in KEPT.items())
Q2_K, Q4_0 = TensorType.Q2_K, TensorType.Q4_0


def known(to: TensorType = Q2_K, *, is_whole: bool = True, points: int = 9) -> FakeWorkbench:
    bench = FakeWorkbench(SHAPE)
    found = tuple(curve(label, kept[:points]) for label, kept in KEPT.items())
    bench.lowered = {to: Lowered(to, 5, found, is_whole)}
    return bench


def drawn(chart: CurvesChart) -> str:
    return text_of(chart._canvas)


# -- the chart


async def test_every_order_has_a_mark_of_its_own_for_each_share_on_the_scale() -> None:
    chart = CurvesChart()
    async with PaneApp(chart).run_test(size=(120, 40)):
        chart.show(CURVES, ())
        text = drawn(chart)
        marks = {look.mark: text.count(look.mark) for look in LOOKS}
        assert marks == {"●": 8, "▲": 8, "◆": 8, "◇": 8, "✗": 1, "○": 8}
        assert len({look.component for look in LOOKS}) == len(LOOKS)


async def test_the_level_of_ninety_percent_is_drawn_and_named_and_pruning_leaves_the_scale_by_an_arrow() -> (
    None
):
    chart = CurvesChart()
    async with PaneApp(chart).run_test(size=(120, 40)):
        chart.show(CURVES, ())
        level = next(line for line in lines_of(chart._canvas) if "90 % kept" in line)
        assert level.count("╌") > 20 and level.split("┤")[0].strip() == "90 %"
        assert drawn(chart).count("↓") == 1
        chart.show(CURVES[:4], ())
        assert "↓" not in drawn(chart)


async def test_the_deviation_of_random_orders_is_drawn_as_bars() -> None:
    chart = CurvesChart()
    async with PaneApp(chart).run_test(size=(120, 40)):
        chart.show(CURVES, ())
        with_bars = drawn(chart).count("│")
        chart.show(CURVES[:-1], ())
        assert with_bars > drawn(chart).count("│") + 8


async def test_where_nothing_is_lost_the_level_stays_in_sight() -> None:
    chart = CurvesChart()
    async with PaneApp(chart).run_test(size=(80, 12)):
        chart.show([curve("measured", [1.0] * 9), curve("LIM", [1.001] * 9)], ())
        assert "90 % kept" in drawn(chart) and drawn(chart).count("●") == 8


@pytest.mark.parametrize("points", [2, 3, 9])
@pytest.mark.parametrize("size", [(24, 6), (60, 9), (200, 50)])
async def test_curves_are_drawn_at_any_size_and_with_any_number_of_points(
    size: tuple[int, int], points: int
) -> None:
    chart = CurvesChart()
    broken = curve("LIM, pruned", [1.0, 0.0, 0.0])
    async with PaneApp(chart).run_test(size=size):
        chart.show([*(curve(label, kept[:points]) for label, kept in KEPT.items()), broken], ())
        assert len(lines_of(chart._canvas)) == size[1] and "●" in drawn(chart)


# -- the screen


async def test_l_opens_it_and_enter_starts_at_the_type_that_was_chosen(workbench: FakeWorkbench) -> None:
    async with running(FakeWorkbench(SHAPE)) as pilot:
        bench = pilot.app.workbench
        await pilot.press("L")
        await pilot.pause()
        assert "lowered to       ◂ Q2_K ▸" in screen_text(pilot)
        assert "No curves are known at Q2_K yet." in screen_text(pilot)
        await pilot.press("left", "enter")
        await pilot.pause()
        types = types_for(SHAPE)
        assert bench.asked == ("lowering", types[types.index(Q2_K) - 1])


async def test_progress_is_told_and_the_curves_come_while_they_are_measured() -> None:
    bench = FakeWorkbench(SHAPE)
    async with running(bench) as pilot:
        await pilot.press("L", "enter")
        await pilot.pause()
        assert "The curves come as they are measured." in screen_text(pilot)
        bench.advance(bench.jobs[-1].id, stage="scoring", done=2, total=5, eta=63.0)
        await pilot.pause()
        assert "scoring" in screen_text(pilot) and "2/5 chunks  1:03 left" in screen_text(pilot)
        bench.lowered = known(is_whole=False, points=3).lowered
        bench.tell(Change.IMPORTANCE)
        await pilot.pause()
        said = screen_text(pilot)
        assert "Q2_K · so far" in said and "●" in said and "1:03 left" in said
        row = next(line for line in said.splitlines() if "● measured " in line)
        assert row.split("measured")[1].split()[:1] == ["…"]  # how far 90 % is kept is not known yet
        bench.lowered = known().lowered
        bench.tell(Change.IMPORTANCE)
        bench.advance(bench.jobs[-1].id, state=JobState.DONE, message="6 orders measured")
        await pilot.pause()
        assert "Q2_K · measured" in screen_text(pilot) and "left" not in screen_text(pilot)


async def test_x_stops_it_and_what_is_known_stays() -> None:
    bench = known(is_whole=False, points=4)
    async with running(bench) as pilot:
        await pilot.press("L", "enter", "enter")
        await pilot.pause()
        assert len(bench.jobs) == 1  # one at a time
        await pilot.press("x")
        await pilot.pause()
        assert bench.calls == [f"cancel {bench.jobs[0].id}"]
        assert "so far: enter goes on" in screen_text(pilot) and "●" in screen_text(pilot)


async def test_the_chart_keeps_its_height_whatever_is_said_of_progress() -> None:
    bench = known(is_whole=False, points=4)
    async with running(bench, size=(80, 24)) as pilot:
        await pilot.press("L", "enter")
        heights = set()
        for stage, eta in (("loading", None), ("scoring", 63.0), ("quantizing", 4000.0)):
            bench.advance(bench.jobs[-1].id, stage=stage, done=120, total=265, eta=eta)
            await pilot.pause()
            assert stage in screen_text(pilot)
            heights.add(pilot.app.screen.query_one(CurvesChart).size.height)
        assert len(heights) == 1


async def test_the_table_tells_how_far_each_order_keeps_ninety_percent() -> None:
    async with running(known(), size=(120, 36)) as pilot:
        await pilot.press("L")
        await pilot.pause()
        lines = screen_text(pilot).splitlines()
        head = next(line for line in lines if "order" in line)
        assert head.count("%") == 9  # 90 % kept to, and eight shares
        for found in CURVES:
            label = f"{look_of(found).mark} {found.label} "
            [row] = [line for line in lines if f"{label} " in line or (label in line and "mean" in label)]
            end = found.share_at_kept
            assert row.split(label)[1].split("%")[0].strip() == f"{100 * (end or 0):.0f}"


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (120, 36), (200, 50)])
async def test_chart_table_and_sentence_have_room_at_every_size(size: tuple[int, int]) -> None:
    async with running(known(), size=size) as pilot:
        await pilot.press("L")
        await pilot.pause()
        said = screen_text(pilot)
        assert pilot.app.screen.query_one(CurvesChart).size.height >= 4
        assert "random, mean of 3" in said and "Quality" in said and "esc close" in said
        assert "100 %" in next(line for line in said.splitlines() if "order" in line)


async def test_curves_and_type_are_there_again_when_the_screen_is() -> None:
    async with running(known(Q4_0)) as pilot:
        await pilot.press("L")
        steps = types_for(SHAPE).index(Q2_K) - types_for(SHAPE).index(Q4_0)
        await pilot.press(*(["left"] * steps if steps > 0 else ["right"] * -steps))
        await pilot.pause()
        assert "Q4_0 · measured" in screen_text(pilot)
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, LoweringScreen)
        await pilot.press("L")
        await pilot.pause()
        assert "Q4_0 · measured" in screen_text(pilot) and "●" in screen_text(pilot)


async def test_another_model_has_no_curves_of_the_one_before() -> None:
    bench = known()
    bench.models["other.gguf"] = llama_shape(12)
    async with running(bench) as pilot:
        bench.lowered = {}  # as the workbench has it of another model
        await bench.open(Path("/models/other.gguf"))
        await pilot.press("L")
        await pilot.pause()
        assert "No curves are known" in screen_text(pilot) and "●" not in screen_text(pilot)


async def test_a_refusal_is_a_sentence_until_another_type_is_chosen() -> None:
    bench = FakeWorkbench(SHAPE)
    async with running(bench) as pilot:
        await pilot.press("L")
        await pilot.pause()
        screen = pilot.app.screen
        while screen._to is not TensorType.Q3_K:
            await pilot.press("left")
        await pilot.press("enter")
        await pilot.pause()
        assert "there is nothing to lower to Q3_K." in screen_text(pilot) and bench.jobs == ()
        await pilot.press("left")
        await pilot.pause()
        assert "nothing to lower" not in screen_text(pilot)


async def test_a_failure_is_told_where_the_curves_would_be() -> None:
    bench = FakeWorkbench(SHAPE)
    async with running(bench) as pilot:
        await pilot.press("L", "enter")
        bench.advance(bench.jobs[-1].id, state=JobState.FAILED, message="the text is too short")
        await pilot.pause()
        assert "Failed: the text is too short" in screen_text(pilot)
        assert pilot.app.screen.query_one(Chooser).has_focus


def test_what_a_type_falls_back_to_is_told() -> None:
    narrow = llama_shape()  # rows of 576 do not divide into blocks of 256
    said = fallback_sentence(narrow, Q2_K)
    assert said == "180 of 210 tensors do not divide into Q2_K's blocks and become Q4_0."
    assert fallback_sentence(SHAPE, Q2_K) == ""


async def test_without_a_model_it_says_how_to_open_one() -> None:
    async with running(FakeWorkbench()) as pilot:
        await pilot.press("L")
        await pilot.pause()
        assert pilot.app.screen is pilot.app.main


async def test_every_mark_of_every_curve_can_be_walked_to_and_is_told_of() -> None:
    async with running(known(), size=(120, 36)) as pilot:
        await pilot.press("L")
        await pilot.pause(0.1)
        chart = pilot.app.screen.query_one(CurvesChart)
        lines = lines_of(chart._canvas)
        marks = {look.mark for look in LOOKS}
        assert (
            len(chart.spots) == 41
        )  # eight of five orders, and one before the blocks left out leave the scale
        assert all(lines[spot.cell[1]][spot.cell[0]] == spot.mark in marks for spot in chart.spots)
        await pilot.press("down")
        await pilot.pause()
        assert chart.has_focus
        await pilot.press("g")
        line = chart.at_hand.line
        await pilot.press(*["right"] * 3)
        await pilot.pause()
        assert chart.at_hand.key == (line, 4) and chart.at_hand.place[0] == 50.0
        assert "with 12 of 24 blocks lowered to Q2_K, " in screen_text(pilot).replace("\n", " ")
        await pilot.press("k")
        await pilot.pause()
        assert chart.at_hand.line != line and chart.at_hand.place[0] == 50.0
        await pilot.press("tab")
        await pilot.pause()
        assert "Quality: the base's perplexity" in screen_text(pilot)
