"""Nothing is told by colour alone, for people who see all colours and for those who do not."""

from __future__ import annotations

import itertools

from colour_vision import VISIONS, apart, contrast
from driving import running, screen_text
from fake_importance import estimated, frontier_of, measured_scores
from fakes import FakeWorkbench
from model_shapes import llama_shape
from panes import PaneApp
from scripted_results import measured, seed_results
from textual.color import Color
from textual.theme import BUILTIN_THEMES
from textual.widgets import Static

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import resolve
from lqtui.recipe.types import TARGET_TYPES, TensorType
from lqtui.tui.widgets.layer_grid import LayerGrid
from lqtui.tui.widgets.type_glyphs import LEGIBLE, TypeStyles, code_of
from lqtui.workbench import JobState

THEMES = [name for name, theme in BUILTIN_THEMES.items() if not theme.ansi]
CLOSE = 12.0
"""A distance in L*a*b* below which two colours are hard to tell apart from memory."""


async def test_types_whose_colours_look_alike_to_anybody_have_other_letters_and_all_letters_are_legible() -> (
    None
):
    app = PaneApp(Static())
    alike: dict[str, int] = dict.fromkeys(VISIONS, 0)
    async with app.run_test() as pilot:
        for theme in THEMES:
            app.theme = theme
            await pilot.pause()
            styles = TypeStyles(app)
            grounds = {t: Color.from_rich_color(styles[t].plain.bgcolor) for t in TARGET_TYPES}
            for vision in VISIONS:
                for one, other in itertools.combinations(TARGET_TYPES, 2):
                    if apart(grounds[one], grounds[other], vision) < CLOSE:
                        alike[vision] += 1
                        assert code_of(one) != code_of(other), f"{one} and {other} in {theme} to {vision}"
                for tensor_type in TARGET_TYPES:
                    for style in (styles[tensor_type].plain, styles[tensor_type].selected):
                        ink, ground = map(Color.from_rich_color, (style.color, style.bgcolor))
                        least = LEGIBLE if vision == "full" else 3.0
                        assert contrast(ink, ground, vision) >= least - 0.01, (
                            f"{tensor_type} in {theme} to {vision}"
                        )
    assert all(alike.values()), "in each vision there are colours that only the letters tell apart"
    assert alike["protanopia"] > alike["full"], "the simulation does take colours away"


def test_the_simulation_confuses_what_dichromats_confuse_and_keeps_greys() -> None:
    red, green, blue, grey = (Color.parse(name) for name in ("#a04040", "#6a6a20", "#4040a0", "#808080"))
    assert apart(red, green, "full") > 40 > 15 > apart(red, green, "deuteranopia")
    assert apart(blue, grey, "deuteranopia") > 20
    for vision in VISIONS:
        assert apart(grey, grey, vision) == 0 and apart(grey, red, vision) > 0


async def test_with_every_colour_taken_out_the_screen_still_says_all_that_it_means() -> None:
    shape = llama_shape()
    bench = FakeWorkbench(shape)
    partial = measured(resolve(shape, preset("attention_q8", shape)), 19.9, delta=5.0, kld=0.17, chunks=2)
    bench.results = (*seed_results(shape)[:-2], partial)
    bench.frontier, bench.costs_known = frontier_of(shape), True
    tensors, blocks = estimated(shape)
    bench.learn(scores=measured_scores(shape, Granularity.TENSOR), tensors=tensors, blocks=blocks)
    bench.use(preset("first_4_layers_q8", shape), "preset")
    bench.assign(["blk.9.attn_q.weight"], TensorType.Q6_K, "edit")
    for state in (JobState.RUNNING, JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.QUEUED):
        job = bench._start(f"measure {state}", "measure")
        bench.advance(job.id, state=state, message="told")
    async with running(bench, size=(160, 50)) as pilot:
        await pilot.press("v", "down")
        await pilot.pause(0.2)
        text = screen_text(pilot)
        grid = pilot.app.main.query_one(LayerGrid)
        rows = [grid.render_line(y).text for y in range(grid.size.height)]
        assert rows[3].startswith("┃") and rows[4].startswith("▶"), "the range, and the cursor in it"
        assert rows[3].split()[2] == "8" and rows[9].split()[1] == "4", "each type by its code"
        assert "≠8" in text and "≠ fell back" in text
        assert "█" in rows[5] and "KLD" in rows[0], "what was measured is solid, and named"
        assert "custom *" in text, "the recipe was edited"
        for explained in ("● measured", "○ predicted", "◉ where fitted", "◇     predicted KLD"):
            assert explained in text
        for mark in "▶✓✗⊘◌":
            assert f"{mark} measure" in text, "how each job is"
        await pilot.press("escape", "I")
        await pilot.pause()
        rows = [grid.render_line(y).text for y in range(grid.size.height)]
        assert "est." in rows[0] and "⣿" in rows[5] and "█" not in rows[5], (
            "an estimate is dotted, and says so"
        )
