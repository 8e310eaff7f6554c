"""The header line: what stays where there is little room."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from driving import running
from model_shapes import llama_shape
from panes import PaneApp, lines_of

from lqtui.recipe.presets import preset
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.recipe import resolve
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.types import TensorType
from lqtui.tui.screens.open_model import OpenModelScreen
from lqtui.tui.screens.path_prompt import PathPrompt
from lqtui.tui.screens.save import SaveRecipeScreen
from lqtui.tui.widgets.header import HeaderLine
from lqtui.tui.widgets.legend import Legend
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


@pytest.mark.parametrize(
    ("width", "names", "said"),
    [
        (140, None, "of-others copied from theirs.gguf"),
        (140, ("blk.0.attn_q.weight",), "of-others partly copied from theirs.gguf"),
        (60, None, "of-others copied"),
    ],
)
async def test_a_recipe_that_is_a_copied_file_says_of_which(width, names, said) -> None:
    types = {t.name: TensorType.Q4_0 if t.name in (names or [t.name]) else t.type for t in SHAPE.tensors}
    file = QuantizedFile("/models/theirs.gguf", "a" * 64, types)
    recipe = msgspec.structs.replace(preset("uniform_q4_0", SHAPE), name="of-others", file=file)
    every = {t.name: TensorType.Q4_0 for t in quantizable_tensors(SHAPE)}
    plan = resolve(SHAPE, msgspec.structs.replace(recipe, overrides=every))
    header = HeaderLine()
    async with PaneApp(header).run_test(size=(width, 3)):
        header.show(MODEL, PLAN, False, SETTINGS, "wikitext-2")
        header.show(MODEL, plan, False, SETTINGS, "wikitext-2")
        assert said in lines_of(header)[0]


async def test_a_click_on_a_part_of_the_header_or_the_legend_does_what_it_is_about(workbench) -> None:
    async with running(workbench) as pilot:
        header, legend = pilot.app.main.query_one(HeaderLine), pilot.app.main.query_one(Legend)
        drawn = [segment.style for widget in (header, legend) for segment in widget.render_line(0)]
        assert not any(style and style.underline for style in drawn), "it reads as a line, not as links"
        line = lines_of(header)[0]
        for part, dialog in (
            ("SmolLM2", OpenModelScreen),
            ("base", SaveRecipeScreen),
            ("wikitext", PathPrompt),
        ):
            await pilot.click(header, offset=(line.index(part) + 2, 0))
            await pilot.pause(0.05)
            assert isinstance(pilot.app.screen, dialog), part
            await pilot.press("escape")
        await pilot.click(legend, offset=(lines_of(legend)[0].index("Q4_0") + 1, 0))
        await pilot.pause()
        assert workbench.undo_label == "block 0 → Q4_0"
