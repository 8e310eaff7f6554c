"""Terminals with ASCII alone: every screen stays within it, and no two marks become one."""

from __future__ import annotations

import pytest
from driving import screen_text
from fake_importance import estimated, frontier_of, measured_scores
from fakes import FakeWorkbench
from hypothesis import given, settings
from hypothesis import strategies as st
from model_shapes import llama_shape
from rich.cells import cell_len
from scripted_results import measured, seed_results

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import resolve
from lqtui.recipe.types import TensorType
from lqtui.tui.app import LqtuiApp
from lqtui.tui.terminal.ascii_text import in_ascii, needs_ascii
from lqtui.workbench import JobState
from lqtui.workbench.imatrices import KeptImatrix

DIALOGS = (*"tpniewoXDCmbFLM", "equals_sign", "question_mark", "ctrl+p")
"""The keys that open one."""


class ImatrixBench(FakeWorkbench):
    """Keeps no importance matrix."""

    def kept_imatrices(self) -> list[KeptImatrix]:
        return []


def bench_that_knows_much() -> FakeWorkbench:
    """Results whole and partial, a frontier, scores, fallen types, and jobs in every state."""
    shape = llama_shape(name="Modèle-日本-135M")
    bench = ImatrixBench(shape)
    whole = seed_results(shape)
    partial = measured(resolve(shape, preset("attention_q8", shape)), 19.9, delta=5.0, kld=0.17, chunks=2)
    bench.results = (*whole[:-2], partial)
    tensors, blocks = estimated(shape)
    scores = measured_scores(shape, Granularity.TENSOR)
    bench.frontier, bench.costs_known = frontier_of(shape), True
    bench.learn(scores=scores, tensors=tensors, blocks=blocks)
    bench.use(preset("first_4_layers_q8", shape), "preset")
    bench.assign(["blk.9.attn_q.weight"], TensorType.Q6_K, "blocks 9 → Q6_K")
    for state in JobState:
        job = bench._start(f"measure {state}", "measure")
        bench.advance(job.id, state=state, done=2, eta=12.0, message="≥ 3 files — “gone” … é")
    return bench


def beyond_ascii(text: str) -> set[str]:
    return {character for character in text if ord(character) > 0x7F}


async def test_no_screen_shows_anything_beyond_ascii_or_moves_a_cell_for_it() -> None:
    size = (90, 24)
    app = LqtuiApp(bench_that_knows_much(), None, read_meters=None, ascii=True)
    async with app.run_test(size=size, notifications=True) as pilot:
        seen = set()
        for pane in ("f2", "f3", "f4", "f5", "f2"):
            await pilot.press(pane)
            await pilot.pause()
            assert not beyond_ascii(screen_text(pilot)), pane
        for score in range(3):
            await pilot.press("I")
            await pilot.pause()
            assert not beyond_ascii(screen_text(pilot)), f"score {score}"
        for key in DIALOGS:
            await pilot.press(key)
            seen.add(type(app.screen).__name__)
            text = screen_text(pilot)
            assert not beyond_ascii(text), key
            assert {len(line) for line in text.splitlines()} == {size[0]}, key
            while len(app.screen_stack) > 1:
                app.pop_screen()
            await pilot.pause()
        assert "MainScreen" not in seen and len(seen) == len(DIALOGS) - 3, "three ask for a path alone"


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["C"])))
def test_any_text_becomes_as_wide_a_text_of_ascii(text) -> None:
    plain = in_ascii(text)
    assert plain.isascii() and len(plain) == cell_len(text)


@pytest.mark.parametrize(
    "family",
    [
        pytest.param("●○◉◐◆◇╌┊→│", id="points, lines and errors of a chart"),
        pytest.param("▶◌✓✗⊘", id="jobs that run, wait, are done, failed or were cancelled"),
        pytest.param("━╸─", id="a bar's filled part and its rest"),
        pytest.param("▁▂▃▄▅▆▇█", id="heights of what was measured"),
        pytest.param("⡀⣀⣄⣤⣦⣶⣷⣿", id="heights of what was estimated"),
        pytest.param("▶┃≠·", id="the cursor, a selected row, a fallen type and no tensor"),
        pytest.param("✓✗", id="what fits and what does not"),
    ],
)
def test_marks_that_mean_different_things_stay_different(family) -> None:
    assert len({in_ascii(mark) for mark in family}) == len(family)


def test_a_bar_of_estimates_is_drawn_unlike_one_of_measurements() -> None:
    assert set(in_ascii("⣿⣿⡇     ")) & set(in_ascii("███▌    ")) == {" "}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("0.0123 ±0.0004", "0.0123+-0.0004"),
        ("30 blocks · llama", "30 blocks | llama"),
        ("asking llama.cpp …", "asking llama.cpp.."),
        ("first_4…q8", "first_4~q8"),
        ("Modèle 日本", "Modele ????"),
        ("KLD ≤ 0.04", "KLD <=0.04"),
    ],
)
def test_text_stays_as_wide_and_as_legible_as_it_can(text, plain) -> None:
    assert in_ascii(text) == plain


@pytest.mark.parametrize(
    ("environ", "needed"),
    [
        ({"TERM": "xterm-256color", "LANG": "en_US.UTF-8"}, False),
        ({"TERM": "xterm-256color"}, False),
        ({"TERM": "xterm", "LANG": "de_DE.ISO-8859-1"}, True),
        ({"TERM": "xterm", "LANG": "de_DE.utf8", "LC_ALL": "C"}, True),
        ({"TERM": "xterm", "LANG": "POSIX", "LC_CTYPE": "C.UTF-8"}, True),
        ({"TERM": "xterm", "LC_CTYPE": "C.UTF-8"}, False),
        ({"TERM": "linux", "LANG": "en_US.UTF-8"}, True),
        ({"TERM": "dumb", "LANG": "en_US.UTF-8"}, True),
    ],
)
def test_what_a_terminal_can_show_is_known_by_its_locale_and_its_name(environ, needed) -> None:
    assert needs_ascii(environ) is needed
