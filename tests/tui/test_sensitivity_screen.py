"""Asking for importance: what is measured, what it costs, and what is known already."""

from __future__ import annotations

from driving import running, screen_text, status
from fake_importance import estimated, measured_scores
from fakes import FakeWorkbench
from model_shapes import llama_shape

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.types import TensorType
from lqtui.tui.screens.sensitivity import SensitivityScreen
from lqtui.tui.widgets.type_toggles import types_for

SHAPE = llama_shape()
SOLID, DOTTED, HEIGHTS = set("▏▎▍▌▋▊▉█"), set("⡇⣿"), set("▁▂▃▄▅▆▇█")


def knowing(*, by: Granularity | None = Granularity.TENSOR, estimates: bool = True) -> FakeWorkbench:
    """A workbench that knows scores and estimates of its model."""
    bench = FakeWorkbench(SHAPE)
    tensors, blocks = estimated(SHAPE) if estimates else ({}, {})
    bench.learn(scores=measured_scores(SHAPE, by) if by else (), tensors=tensors, blocks=blocks)
    return bench


async def test_m_and_enter_measure_each_tensor_alone_at_q4_0_on_one_chunk(workbench):
    async with running(workbench) as pilot:
        await pilot.press("m", "enter")
        assert workbench.asked == (Granularity.TENSOR, (TensorType.Q4_0,), 1)
        await pilot.pause()
        assert status(pilot).startswith("Started: measure each tensor alone.")


async def test_what_it_costs_follows_the_choices(workbench):
    async with running(workbench) as pilot:
        await pilot.press("m")
        await pilot.pause()
        assert "211 measurements on 1 chunk of 512 tokens each." in screen_text(pilot)
        await pilot.press("space")
        await pilot.press("down", "right")
        await pilot.pause()
        assert "31 measurements on 2 chunks of 512 tokens each." in screen_text(pilot)
        await pilot.press("down", "right", "space")  # the type that follows Q4_0 among those that can be had
        await pilot.pause()
        assert "62 measurements on 2 chunks" in screen_text(pilot)
        await pilot.press("enter")
        offered = types_for(SHAPE)
        after = offered[offered.index(TensorType.Q4_0) + 1]
        assert workbench.asked == (Granularity.BLOCK, (TensorType.Q4_0, after), 2)


async def test_what_is_known_already_is_told():
    async with running(knowing(by=Granularity.BLOCK)) as pilot:
        await pilot.press("m", "right")
        await pilot.pause()
        assert "31 measurements on 1 chunk of 512 tokens each; 31 known already." in screen_text(pilot)


async def test_estimates_are_offered_as_what_they_are(workbench):
    async with running(workbench) as pilot:
        await pilot.press("m", "left")
        await pilot.pause()
        assert "Seconds, not measured" in screen_text(pilot)
        await pilot.press("enter")
        assert workbench.asked == ("estimate",)


async def test_without_a_type_to_lower_to_nothing_starts(workbench):
    async with running(workbench) as pilot:
        await pilot.press("m", "down", "down", "space", "enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, SensitivityScreen)
        assert "Turn on at least one type" in screen_text(pilot)
        await pilot.press("escape")
        assert workbench.asked == ()


async def test_the_choices_of_the_last_time_are_there_again(workbench):
    async with running(workbench) as pilot:
        await pilot.press("m", "right", "down", "right", "right", "enter", "m")
        await pilot.pause()
        assert "each block, measured alone" in screen_text(pilot)
        assert "4 chunks" in screen_text(pilot)


def test_only_types_that_every_tensor_can_be_given_are_offered():
    narrow = types_for(SHAPE)  # rows of 576 divide into blocks of 32 and 64
    assert TensorType.Q4_0 in narrow and TensorType.Q4_K in narrow  # Q4_K falls back
    assert not {TensorType.Q1_0, TensorType.IQ2_XXS, TensorType.F16} & set(narrow)
