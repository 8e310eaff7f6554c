"""The results table: sorting, alignment, marks, and what it redraws."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakes import llama_shape, seed_results
from panes import PaneApp, lines_of, text_of

from lqtui.tui.widgets.results import ResultsTable
from lqtui.workbench import Result

SHAPE = llama_shape()
RESULTS = seed_results(SHAPE)


def names(table: ResultsTable) -> list[str]:
    """The recipes from the top, as far as they are seen."""
    return [line[2:].split()[0] for line in lines_of(table)[1:] if line]


def result(name: str) -> Result:
    return next(result for result in RESULTS if result.name == name)


async def test_smaller_files_come_first_and_the_title_says_so() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(120, 20)):
        table.show(RESULTS)
        assert names(table)[0] == "uniform_q4_0"
        assert names(table)[-1] == "baseline_fp16"
        assert "MiB▲" in lines_of(table)[0]


async def test_keys_choose_the_column_and_turn_the_order() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(120, 20)) as pilot:
        table.show(RESULTS)
        await pilot.press(">", ">")
        assert table.order == ("ppl", False)
        assert names(table)[0] == "baseline_fp16"
        await pilot.press("-")
        assert table.order == ("ppl", True)
        assert names(table)[0] == "uniform_q4_0"
        assert "PPL▼" in lines_of(table)[0]
        await pilot.press("<", "<", "<")
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
    async with PaneApp(table).run_test(size=(120, 20)):
        table.show([*RESULTS, replace(RESULTS[0], name="worse", digest="w", perplexity=1234.5)])
        ends = {line.index("±") for line in lines_of(table)[1:13]}
        assert len(ends) == 1
        assert "20.8235 ±1.60" in text_of(table)
        assert "1234.5000 ±1.60" in text_of(table)
        assert "412.0 ±3.1" in text_of(table)


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
        await pilot.press("-")
        assert table.cursor == key
        table.show(RESULTS[3:])
        assert table.cursor in table.item_keys


async def test_the_recipe_in_the_grid_and_running_measurements_are_marked() -> None:
    table = ResultsTable()
    running = replace(result("ffn_q8"), partial=True, chunks=3, delta_percent=None, delta_percent_se=None)
    async with PaneApp(table).run_test(size=(120, 20)):
        table.show([*RESULTS[:3], running], selected=RESULTS[2].digest)
        by_name = {line[2:].split()[0]: line for line in lines_of(table)[1:] if line}
        assert by_name[RESULTS[2].name].startswith("▸")
        assert by_name["ffn_q8"].startswith("◐")
        assert "3 chunks" in by_name["ffn_q8"]
        assert by_name[RESULTS[0].name].startswith(" ")


async def test_a_difference_within_its_error_is_not_given_as_one() -> None:
    table = ResultsTable()
    close = replace(result("ffn_q8"), delta_percent=0.2, delta_percent_se=0.3)
    async with PaneApp(table).run_test(size=(120, 20)):
        table.show([close])
        assert "≈0 ±0.30" in text_of(table)
        assert "+0.2" not in text_of(table)


async def test_every_column_is_there_at_80_columns_and_bpw_goes_first() -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(80, 20)) as pilot:
        table.show(RESULTS)
        for title in ("recipe", "MiB", "bpw", "PPL", "ΔPPL", "pp t/s", "tg t/s"):
            assert title in lines_of(table)[0]
        await pilot.resize_terminal(70, 20)
        assert "bpw" not in lines_of(table)[0]
        assert "tg t/s" in lines_of(table)[0]


@pytest.mark.parametrize("width", [58, 62, 70, 80, 120])
async def test_perplexity_and_both_speeds_are_there_from_58_cells_on(width: int) -> None:
    table = ResultsTable()
    async with PaneApp(table).run_test(size=(width, 20)):
        table.show(RESULTS)
        assert "20.8235 ±1.60" in text_of(table)
        assert "412" in text_of(table)
        assert "58.2" in text_of(table)
        seen = names(table)
        assert len(set(seen)) == len(RESULTS)


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
        table.show([*RESULTS[:-1], replace(RESULTS[-1], perplexity=19.5999)])
        await pilot.pause()
        assert len(drawn) == 1
        drawn.clear()
        await pilot.press("down")
        await pilot.pause()
        assert sorted(drawn) == [1, 2]


async def test_a_long_list_scrolls_under_its_titles() -> None:
    table = ResultsTable()
    many = [
        replace(RESULTS[0], name=f"r{i:02}", digest=str(i), file_bytes=(100 + i) << 20) for i in range(60)
    ]
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
    broken = replace(RESULTS[0], name="broken_one", digest="b", perplexity=math.nan, perplexity_se=math.nan)
    async with PaneApp(table).run_test(size=(120, 20)) as pilot:
        table.show([broken, *RESULTS[1:]])
        await pilot.press(">", ">")
        assert names(table)[-1] == "broken_one"
        row = next(line for line in lines_of(table) if "broken_one" in line)
        assert row.count("broken") == 2 and "nan" not in row
