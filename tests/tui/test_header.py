"""The header line: what stays where there is little room."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_shapes import llama_shape
from panes import PaneApp, lines_of

from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import resolve
from lqtui.tui.widgets.header import HeaderLine
from lqtui.workbench import OpenModel, Settings

SHAPE = llama_shape()
MODEL = OpenModel(path=Path("model.gguf"), shape=SHAPE, engine="none")
SETTINGS = Settings(threads=2)
PLAN = resolve(SHAPE, preset("first_4_layers_q8", SHAPE))


async def test_model_recipe_and_corpus_are_on_one_line() -> None:
    header = HeaderLine()
    async with PaneApp(header).run_test(size=(140, 3)):
        header.show(MODEL, PLAN, False, SETTINGS, "wikitext-2")
        [line] = lines_of(header)
        for part in (
            "lqtui  SmolLM2-135M-Instruct",
            "F16 258.3 MiB",
            "30 blocks",
            "llama",
            "first_4_layers_q8",
            "corpus wikitext-2 · 5×512",
        ):
            assert part in line
        assert "*" not in line


async def test_an_edited_recipe_has_an_asterisk() -> None:
    header = HeaderLine()
    async with PaneApp(header).run_test(size=(140, 3)):
        header.show(MODEL, PLAN, True, SETTINGS, "wikitext-2")
        assert "first_4_layers_q8 *" in lines_of(header)[0]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
async def test_the_names_stay_at_every_width(width: int) -> None:
    header = HeaderLine()
    async with PaneApp(header).run_test(size=(width, 3)):
        header.show(MODEL, PLAN, True, SETTINGS, "wikitext-2")
        [line] = lines_of(header)
        assert "SmolLM2" in line
        assert "first_4_layers_q8 *" in line
        assert len(line) <= width


async def test_at_80_columns_the_text_that_is_measured_on_is_still_named() -> None:
    header = HeaderLine()
    async with PaneApp(header).run_test(size=(80, 3)):
        header.show(MODEL, PLAN, True, SETTINGS, "wikitext-2")
        [line] = lines_of(header)
        assert "SmolLM2-135M-Instruct" in line and line.endswith("first_4_layers_q8 *   wikitext-2 · 5×512")


async def test_without_a_model_the_line_says_how_to_open_one() -> None:
    header = HeaderLine()
    async with PaneApp(header).run_test(size=(80, 3)):
        header.show(None, None, False, SETTINGS, "wikitext-2")
        assert "press o to open" in lines_of(header)[0]
