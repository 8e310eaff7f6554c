"""The memory screen, and the keys that choose the context that memory is told for."""

from __future__ import annotations

import pytest
from driving import Q8, running
from fakes import FakeWorkbench
from model_shapes import llama_shape
from panes import text_of

from lqtui.recipe.types import TensorType
from lqtui.tui.screens.memory import MemoryScreen, next_context
from lqtui.tui.widgets.budget import BudgetPane
from lqtui.tui.widgets.chooser import Chooser
from lqtui.tui.widgets.status_line import StatusLine


def told(pilot) -> str:
    """Everything that the memory screen says."""
    screen = pilot.app.screen
    assert isinstance(screen, MemoryScreen)
    return "\n".join("".join(segment.text for segment in line) for line in screen._compositor.render_strips())


@pytest.mark.parametrize(
    ("n_ctx", "step", "longest", "expected"),
    [
        (4096, 1, 0, 8192),
        (4096, -1, 0, 2048),
        (3000, 1, 0, 4096),
        (3000, -1, 0, 2048),
        (512, -1, 0, 512),
        (8192, 1, 8192, 8192),
        (32768, 1, 40960, 40960),
        (40960, -1, 40960, 32768),
        (256, -1, 256, 256),
    ],
)
def test_contexts_go_by_powers_of_two_up_to_the_models_own(
    n_ctx: int, step: int, longest: int, expected: int
) -> None:
    assert next_context(n_ctx, step, longest) == expected


async def test_plus_and_minus_change_the_context_and_the_budget_follows(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("plus")
        await pilot.pause()
        assert workbench.settings.fit_ctx == 8192
        assert "ctx 8192" in text_of(pilot.app.screen.query_one(BudgetPane))
        await pilot.press("minus", "minus")
        assert workbench.settings.fit_ctx == 2048


async def test_at_the_models_most_and_at_the_least_a_longer_or_shorter_context_is_refused_in_words(
    workbench: FakeWorkbench,
) -> None:
    async with running(workbench) as pilot:
        await pilot.press("plus", "plus")
        await pilot.pause()
        status = pilot.app.main.query_one(StatusLine)
        assert status.event == "Memory is told for 8,192 tokens (the model's most)."
        await pilot.press("M")
        await pilot.pause()
        assert "8,192 tokens (the model's most)" in told(pilot)
        await pilot.press("escape", *["minus"] * 5)
        await pilot.pause()
        assert status.event == "Memory is told for 512 tokens (the least)."


async def test_each_part_has_a_row_and_each_device_a_column(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("M")
        await pilot.pause()
        text = told(pilot)
        for word in ("4,096 tokens", "weights", "KV cache", "compute", "output", "needed", "RAM"):
            assert word in text


async def test_the_arrows_change_the_chosen_line_at_once(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("M")
        await pilot.pause()
        await pilot.press("right")
        assert workbench.settings.fit_ctx == 8192
        await pilot.press("down", "right")
        assert (workbench.settings.type_k, workbench.settings.type_v) == (Q8, TensorType.F16)
        await pilot.press("j", "left")
        assert workbench.settings.type_v is TensorType.F32
        await pilot.pause()
        assert "Q8_0" in told(pilot)
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, MemoryScreen)


async def test_what_llama_cpp_cannot_tell_is_said_in_its_words(workbench: FakeWorkbench) -> None:
    workbench.context_problem = "llama.cpp cannot load this model: missing tensor"
    async with running(workbench) as pilot:
        await pilot.press("M")
        await pilot.pause()
        assert "Unknown: llama.cpp cannot load this model: missing tensor." in told(pilot)


async def test_before_an_answer_the_screen_says_that_it_waits(workbench: FakeWorkbench) -> None:
    workbench.context_problem = None
    async with running(workbench) as pilot:
        await pilot.press("M")
        await pilot.pause()
        assert "Asking llama.cpp" in told(pilot)


async def test_the_choices_can_be_seen_in_the_smallest_terminal() -> None:
    async with running(FakeWorkbench(llama_shape()), size=(60, 18)) as pilot:
        await pilot.press("M")
        await pilot.pause()
        assert all(chooser.region.height == 1 for chooser in pilot.app.screen.query(Chooser))
        assert "needed" in told(pilot)


async def test_without_a_model_there_is_no_memory_to_show() -> None:
    async with running(FakeWorkbench()) as pilot:
        await pilot.press("M", "plus")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, MemoryScreen)
