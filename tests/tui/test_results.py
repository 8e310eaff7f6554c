"""The results table: sorting, alignment, marks, and what it redraws."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakes import FakeWorkbench
from model_shapes import llama_shape
from panes import PaneApp, lines_of, text_of
from scripted_results import scores_of, seed_results

from lqtui.measure.paired import Interval, Quantity
from lqtui.tui.keys.commands import SCREEN_COMMANDS
from lqtui.tui.keys.panes import RESULTS_COMMANDS
from lqtui.tui.widgets.metric import Metric
from lqtui.tui.widgets.result_columns import DELTA, Row
from lqtui.tui.widgets.result_sentence import sentences
from lqtui.tui.widgets.results import ResultsTable
from lqtui.tui.widgets.standings import Comparer, Standings
from lqtui.workbench import Result, Speed

SHAPE = llama_shape()
RESULTS = seed_results(SHAPE)


def names(table: ResultsTable) -> list[str]:
    """The recipes from the top, as far as they are seen."""
    return [line[2:].split()[0] for line in lines_of(table)[1:] if line]


def result(name: str) -> Result:
    return next(result for result in RESULTS if result.name == name)


def against(name: str) -> Standings:
    """All recipes beside one of them."""
    bench = FakeWorkbench(SHAPE)
    bench.scores = scores_of(RESULTS)
    comparer = Comparer(bench)
    while not (found := comparer.standings(RESULTS, result(name))).complete:
        pass
    return found


def line_of(table: ResultsTable, name: str) -> str:
    return next(line for line in lines_of(table) if line[2:].startswith(name))


async def test_what_is_closest_to_the_base_comes_first_and_the_title_says_so() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(120, 20)):
        table.show(RESULTS)
        assert names(table)[:2] == ["baseline_fp16", "attention_q8"]
        assert names(table)[-1] == "uniform_q4_0"
        assert "KLD▲" in lines_of(table)[0]


async def test_keys_choose_the_column_and_turn_the_order() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(150, 20)) as pilot:
        table.show(RESULTS)
        await pilot.press("right")
        assert table.order == ("ppl", False)
        assert names(table)[0] == "baseline_fp16"
        await pilot.press("space")
        assert table.order == ("ppl", True)
        assert names(table)[0] == "uniform_q4_0"
        assert "PPL▼" in lines_of(table)[0]
        await pilot.press("left", "left", "left", "left")
        assert table.order == ("name", False)
        assert names(table) == sorted(names(table))


async def test_a_click_on_a_title_sorts_and_a_second_one_turns_the_order() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(120, 20)) as pilot:
        table.show(RESULTS)
        column = lines_of(table)[0].index("tg t/s") + 2
        await pilot.click(table, offset=(column + 2, 1))
        assert table.order == ("tg", False)
        await pilot.click(table, offset=(column + 2, 1))
        assert table.order == ("tg", True)


async def test_what_is_not_known_goes_last_in_either_order() -> None:
    table = ResultsTable()
    unknown = replace(result("ffn_q8"), perplexity=None, perplexity_se=None)
    async with PaneApp(table).run_test(size=(120, 20)):
        table.show([unknown, *RESULTS[:3]])
        for descending in (False, True):
            table.sort_by("ppl", descending)
            assert names(table)[-1] == "ffn_q8"


async def test_numbers_end_in_one_column_with_their_errors() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(150, 20)):
        table.show([*RESULTS[1:], replace(RESULTS[1], name="worse", digest="w", perplexity=1234.5)])
        ends = {line.index("±") for line in lines_of(table)[1:12]}
        assert len(ends) == 1
        assert "  20.8 ±1.6" in text_of(table)
        assert "1234.5 ±1.6" in text_of(table)
        assert "412.0 ±3.1" in text_of(table)
        assert "0.256  ±0.004" in text_of(table)


async def test_enter_chooses_the_result_under_the_cursor() -> None:
    table = ResultsTable()
    app = PaneApp(table)
    async with app.run_test(size=(120, 20)) as pilot:
        table.show(RESULTS)
        await pilot.press("down", "enter")
        [chosen] = app.heard
        assert isinstance(chosen, ResultsTable.Chosen)
        assert chosen.result.name == names(table)[1]


async def test_a_double_click_chooses_and_a_single_one_moves_the_cursor() -> None:
    table = ResultsTable()
    app = PaneApp(table)
    async with app.run_test(size=(120, 20)) as pilot:
        table.show(RESULTS)
        await pilot.click(table, offset=(6, 5))
        assert not app.heard
        assert table.cursor == table.item_keys[3]
        await pilot.click(table, offset=(6, 5), times=2)
        [chosen] = app.heard
        assert isinstance(chosen, ResultsTable.Chosen)
        assert chosen.result.name == names(table)[3]


async def test_the_cursor_stays_on_its_recipe_when_the_order_changes() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(120, 20)) as pilot:
        table.show(RESULTS)
        await pilot.press("G")
        key = table.cursor
        await pilot.press("space")
        assert table.cursor == key
        table.show(RESULTS[3:])
        assert table.cursor in table.item_keys


async def test_the_recipe_in_the_grid_and_running_measurements_are_marked() -> None:
    table = ResultsTable()
    running = replace(result("ffn_q8"), partial=True, chunks=3)
    async with PaneApp(table).run_test(size=(120, 20)):
        table.show([*RESULTS[:3], running], selected=RESULTS[2].digest, chunks=5)
        by_name = {line[2:].split()[0]: line for line in lines_of(table)[1:] if line}
        assert by_name[RESULTS[2].name].startswith("▸")
        assert by_name["ffn_q8"].startswith("◐")
        assert "3/5 chunks" in by_name["ffn_q8"]
        assert by_name[RESULTS[0].name].startswith(" ")


async def test_the_recipe_in_the_grid_is_seen_to_lack_chunks_while_it_is_measured() -> None:
    table = ResultsTable()
    mine = replace(result("attention_q8"), partial=True, chunks=3)
    async with PaneApp(table).run_test(size=(160, 20)) as pilot:
        for width, said in ((62, "reference 3/5"), (160, "is the reference, 3/5 chunks")):
            await pilot.resize_terminal(width, 20)
            table.show([mine, *RESULTS[:2]], mine.digest, Standings(mine), chunks=5)
            line = line_of(table, "attention_q8")
            assert line.startswith("◐▸") and line.endswith(said)


async def test_a_change_of_perplexity_has_a_colour_only_where_chunks_agree_on_its_sign() -> None:
    table = ResultsTable()
    row = Row(replace(result("ffn_q8"), delta_percent=4.0, delta_percent_se=0.3))

    def style(low: float, high: float) -> str:
        beside_base = Interval((low + high) / 2, 0.01, low, high)
        return DELTA.variants[0].cell(replace(row, beside_base=beside_base)).style

    assert style(0.01, 0.06) == "$text-error"
    assert style(-0.06, -0.01) == "$text-success"
    assert style(-0.01, 0.06) == style(math.nan, math.nan) == DELTA.variants[0].cell(row).style == ""
    async with PaneApp(table).run_test(size=(120, 20)):
        table.show(RESULTS, standings=against("ffn_q8"))
        for name in ("uniform_q4_0", "attention_q8"):  # the same on every chunk, or varying around zero
            shown = table._rows[result(name).digest].beside_base
            assert shown is not None and shown.low > 0


async def test_a_speed_that_was_disturbed_is_marked_and_still_stands_in_line() -> None:
    table = ResultsTable()
    noisy = replace(result("ffn_q8"), generation=Speed(61.0, 12.0, 5))
    async with PaneApp(table).run_test(size=(120, 20)):
        table.show([noisy, result("attention_q8")])
        row, other = line_of(table, "ffn_q8"), line_of(table, "attention_q8")
        assert "~61" in row and "~" not in other
        assert "~ disturbed, R measures it again" in sentences(Row(noisy), Standings())[0]


async def test_verdicts_say_what_they_rest_on_and_are_not_told_by_speed() -> None:
    table = ResultsTable()
    by_kld = against("ffn_q8")
    by_nll = replace(
        by_kld, beside={digest: replace(c, decided_on=Quantity.NLL) for digest, c in by_kld.beside.items()}
    )
    async with PaneApp(table).run_test(size=(160, 20)):
        table.show(RESULTS, standings=by_nll)
        assert lines_of(table)[0].endswith("by NLL") and "against ffn_q8" in table.border_title
        table.show_first(Metric.SPEED)
        assert "by" not in lines_of(table)[0].split() and "is the reference" not in text_of(table)
        assert table.border_title == "results"


async def test_a_difference_within_its_error_is_not_given_as_one() -> None:
    table = ResultsTable()
    close = replace(result("ffn_q8"), delta_percent=0.2, delta_percent_se=0.3)
    async with PaneApp(table).run_test(size=(120, 20)):
        table.show([close])
        assert "≈0 ±0.30" in text_of(table)
        assert "+0.2" not in text_of(table)


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (62, "recipe MiB KLD▲ ΔPPL% by KLD"),
        (80, "recipe MiB KLD▲ ΔPPL% top-1% tg t/s by KLD"),
        (100, "recipe MiB bpw KLD▲ PPL ΔPPL% top-1% pp t/s tg t/s by KLD"),
        (160, "recipe MiB bpw KLD▲ PPL ± ΔPPL% ± top-1% ± pp t/s ± tg t/s ± by KLD"),
    ],
)
async def test_the_columns_that_matter_most_find_room_first(width: int, titles: str) -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(width, 20)):
        table.show(RESULTS, standings=against("ffn_q8"))
        assert lines_of(table)[0].split() == titles.split()
        assert "0.1411 ±0.0024" in text_of(table)


@pytest.mark.parametrize("width", range(56, 130, 7))
@pytest.mark.parametrize("metric", Metric)
async def test_no_number_is_cut_at_any_width(width: int, metric: Metric) -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(width, 20)):
        table.show(RESULTS, standings=against("ffn_q8"))
        table.show_first(metric)
        header, *lines = lines_of(table)
        assert len(set(names(table))) == len(RESULTS)
        # A name may be shortened, and the list of columns; what stands in a column is whole.
        last = len(header.rstrip().rstrip("▲▼"))
        assert not any("…" in line[20:] or len(line) > width - 4 for line in lines)
        assert last <= width - 4


async def test_a_metric_brings_its_columns_and_sorts_by_them() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(62, 20)) as pilot:
        table.show(RESULTS, standings=against("ffn_q8"))
        table.show_first(Metric.PPL)
        assert "20.8 ±1.6" in text_of(table) and "PPL▲" in lines_of(table)[0]
        table.show_first(Metric.SPEED)
        assert "58.2 ±0.7" in text_of(table) and "tg t/s▼" in lines_of(table)[0]
        await pilot.press("right")
        table.sort_by("size")
        table.show_first(Metric.KLD)
        assert table.order == ("size", False)  # which no metric decides


async def test_an_empty_table_says_which_keys_fill_it() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(80, 20)):
        assert "r measures this recipe, s all presets" in text_of(table)


async def test_only_lines_that_changed_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = ResultsTable._draw

    def counted(table: ResultsTable, row: int, width: int) -> object:
        drawn.append(row)
        return draw(table, row, width)

    table = ResultsTable()
    async with PaneApp(table).run_test(size=(120, 20)) as pilot:
        table.show(RESULTS)
        await pilot.pause()
        monkeypatch.setattr(ResultsTable, "_draw", counted)
        table.show([*RESULTS[:-1], replace(RESULTS[-1], top1_agreement=0.86)])
        await pilot.pause()
        assert len(drawn) == 1
        drawn.clear()
        await pilot.press("down")
        await pilot.pause()
        assert sorted(drawn) == [1, 2]


async def test_a_long_list_scrolls_under_its_titles() -> None:
    table = ResultsTable()
    many = [replace(RESULTS[1], name=f"r{i:02}", digest=str(i), kld=0.1 + i / 100) for i in range(60)]
    async with PaneApp(table).run_test(size=(100, 12)) as pilot:
        table.show(many)
        await pilot.pause()
        await pilot.press("end")
        await pilot.pause()
        assert "recipe" in lines_of(table)[0]
        assert names(table)[-1] == "r59"
        await pilot.press("home")
        await pilot.pause()
        assert names(table)[0] == "r00"


async def test_a_recipe_that_breaks_the_model_says_so_and_sorts_last_by_quality() -> None:
    table = ResultsTable()
    nan = math.nan
    broken = replace(
        RESULTS[1], name="it", digest="b", perplexity=nan, perplexity_se=nan, kld=nan, kld_se=nan
    )
    async with PaneApp(table).run_test(size=(120, 20)) as pilot:
        table.show([broken, *RESULTS[1:]])
        assert names(table)[-1] == "it"
        await pilot.press("right")
        assert table.order == ("ppl", False) and names(table)[-1] == "it"
        row = next(line for line in lines_of(table) if line.startswith("  it"))
        assert "broken" in row and "nan" not in row


async def test_the_verdict_is_against_one_recipe_which_the_border_names() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(160, 20)) as pilot:
        table.show(RESULTS, standings=against("attention_q8"))
        assert table.border_title == "results · against attention_q8"
        assert line_of(table, "attention_q8").endswith("is the reference")
        assert line_of(table, "ffn_q8").endswith("can't tell, ~18 more chunks")
        assert line_of(table, "uniform_q4_0").endswith("worse")
        assert line_of(table, "baseline_fp16").endswith("base")
        table.show(RESULTS, standings=against("uniform_q4_0"))
        assert line_of(table, "attention_q8").endswith("better")
        await pilot.resize_terminal(62, 20)
        table.show(RESULTS, standings=against("attention_q8"))
        assert line_of(table, "ffn_q8").endswith("can't tell")
        assert line_of(table, "attention_q8").endswith("reference")


async def test_a_key_asks_to_compare_with_the_recipe_under_the_cursor() -> None:
    table = ResultsTable()
    app = PaneApp(table)
    async with app.run_test(size=(120, 20)) as pilot:
        table.show(RESULTS)
        await pilot.press("down", "v")
        [asked] = app.heard
        assert isinstance(asked, ResultsTable.ReferenceChosen)
        assert asked.result.name == "attention_q8"


async def test_rows_change_places_only_when_all_of_them_have_one_more_chunk() -> None:
    table = ResultsTable()

    def at(chunks: int, **klds: float) -> list[Result]:
        return [
            replace(result("ffn_q8"), name=name, digest=name, kld=kld, chunks=chunks, partial=True)
            for name, kld in klds.items()
        ]

    async with PaneApp(table).run_test(size=(120, 20)):
        table.show([*at(1, b=0.2)])
        table.show([*at(1, b=0.2), *at(1, a=0.1)])
        table.show([*at(1, b=0.2), *at(1, a=0.1), *at(1, c=0.3)])
        assert names(table) == ["a", "b", "c"]  # a new one is put where it belongs
        table.show([*at(2, b=0.2), *at(1, a=0.1), *at(2, c=0.01)])
        assert names(table) == ["a", "b", "c"]
        table.show([*at(2, b=0.2), *at(2, a=0.1), *at(2, c=0.01)])
        assert names(table) == ["c", "a", "b"]


async def test_the_cursor_tells_when_it_is_on_another_recipe() -> None:
    table = ResultsTable()
    app = PaneApp(table)
    async with app.run_test(size=(120, 20)) as pilot:
        table.show(RESULTS)
        await pilot.pause()
        before = app.moves
        await pilot.press("down", "down", "up")
        assert app.moves > before
        assert table.row is not None and table.row.result.name == "attention_q8"


async def test_a_column_says_how_many_times_smaller_than_the_base_a_recipe_is() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(160, 20)):
        table.show(RESULTS, base_bytes=SHAPE.file_bytes)
        assert "smaller" in lines_of(table)[0]
        assert f" {SHAPE.file_bytes / result('uniform_q4_0').file_bytes:.2f}×" in line_of(table, "uniform_q4")
        assert " 1.00×" in line_of(table, "baseline_fp16")
        table.sort_by("smaller", descending=True)
        assert names(table)[0] == "uniform_q4_0" and names(table)[-1] == "baseline_fp16"


def test_no_key_of_the_results_does_something_else_elsewhere_on_the_main_screen() -> None:
    own = {key for command in RESULTS_COMMANDS for key in command.keys.split(",")}
    assert not own & {key for command in SCREEN_COMMANDS for key in command.keys.split(",")}
