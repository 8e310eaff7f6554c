"""Fitting a budget from the keyboard: what can be typed and chosen, and what is refused."""

from __future__ import annotations

import pytest
from driving import running, screen_text, status, toasts
from fakes import FakeWorkbench
from textual.widgets import Input

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.types import TensorType
from lqtui.tui.screens.fit_budget import BudgetScreen
from lqtui.tui.widgets.chooser import Chooser
from lqtui.tui.widgets.quantities import mebibytes
from lqtui.tui.widgets.type_toggles import TypeToggles
from lqtui.workbench import DEFAULT_CANDIDATES, JobState


async def test_a_size_and_enter_start_the_fit_and_the_keys_are_free_again(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("b", *"100MiB", "enter")
        await pilot.pause()
        target, types, by, constraints = workbench.asked
        assert target.file_bytes == 100 << 20
        assert set(types) == set(DEFAULT_CANDIDATES)
        assert by is Granularity.TENSOR and not constraints.pins
        assert pilot.app.screen is pilot.app.main
        assert status(pilot).startswith("Started: fit 100 MiB.")
        workbench.advance(1, state=JobState.DONE, message="predicted KLD 0.041, measured 0.043 ± 0.001")
        await pilot.pause()
        assert toasts(pilot) == ["predicted KLD 0.041, measured 0.043 ± 0.001"]


async def test_bits_per_weight_and_memory_are_budgets_too(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("b", *"4.5bpw", "enter")
        await pilot.pause()
        assert workbench.asked[0].label == "4.5 bpw"
        await pilot.press("b", *"6GiB", "space", *"vram", "enter")
        await pilot.pause()
        assert workbench.asked[0].label == "6 GiB VRAM"


async def test_what_is_typed_is_told_as_a_size_at_once(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("b", *"129.2")
        await pilot.pause()
        assert "A file of at most 129.2 MiB, 50% of the base model's." in screen_text(pilot)
        await pilot.press("space", *"vram")
        await pilot.pause()
        assert "What runs in 129.2 MiB of VRAM at a context of 4,096." in screen_text(pilot)


async def test_the_sizes_that_are_possible_follow_the_candidates(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("b")
        await pilot.pause()
        smallest, largest = map(mebibytes, workbench.smallest_and_largest(DEFAULT_CANDIDATES))
        assert f"{smallest} to {largest} MiB   this recipe 258.3 MiB, 16.00 bpw" in screen_text(pilot)
        toggles = pilot.app.screen.query_one(TypeToggles)
        await pilot.press("down", "space")
        assert TensorType.F16 not in toggles.chosen
        await pilot.pause()
        assert f"to {largest} MiB" not in screen_text(pilot)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Type a budget, such as 400MiB, 4.5bpw or 6GiB vram."),
        ("lots", "'lots' is not a budget"),
        ("10MiB", "choose at least 44,"),
        ("0.1GiB vram", "A context of 4096 tokens alone takes 256 MiB of VRAM."),
    ],
)
async def test_a_bad_budget_is_one_sentence_and_nothing_is_lost(
    workbench: FakeWorkbench, typed: str, said: str
) -> None:
    async with running(workbench) as pilot:
        await pilot.press("b", *typed, "enter")
        await pilot.pause()
        await pilot.pause()
        assert isinstance(pilot.app.screen, BudgetScreen)
        assert said in screen_text(pilot)
        assert pilot.app.screen.query_one(Input).value == typed
        assert workbench.asked == () and workbench.jobs == ()


async def test_without_candidates_nothing_starts(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("b", *"100")
        pilot.app.screen.query_one(TypeToggles)._on.clear()
        await pilot.press("enter")
        await pilot.pause()
        assert "Turn on at least one candidate type." in screen_text(pilot)


async def test_what_is_selected_can_be_kept_as_it_is_or_no_lower(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("8", "v", "down", "b", *"100")
        pilot.app.screen.query_one("#keep", Chooser).focus()
        await pilot.press("space")
        await pilot.pause()
        assert "blocks 0-1 as now" in screen_text(pilot)
        await pilot.press("enter")
        await pilot.pause()
        pins = workbench.asked[3].pins
        assert len(pins) == 14 and not workbench.asked[3].floors
        assert pins["blk.0.attn_q.weight"] is TensorType.Q8_0
        assert pins["blk.1.attn_q.weight"] is TensorType.F16
        await pilot.press("b")
        pilot.app.screen.query_one("#keep", Chooser).focus()
        await pilot.press("right")
        await pilot.pause()
        assert "blocks 0-1 no lower than now" in screen_text(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert workbench.asked[3].floors == pins and not workbench.asked[3].pins


async def test_roles_can_be_asked_for_one_type_in_each_block(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("b", *"100")
        pilot.app.screen.query_one("#tied", Chooser).focus()
        await pilot.press("right")
        await pilot.pause()
        assert "same type for    ◂ attn_q, attn_k, attn_v ▸" in screen_text(pilot)
        await pilot.press("right", "right", "enter")
        await pilot.pause()
        assert workbench.asked[3].ties == (("attn_q", "attn_k", "attn_v"), ("ffn_gate", "ffn_up"))


async def test_what_was_typed_and_chosen_is_there_again_after_escape(workbench: FakeWorkbench) -> None:
    async with running(workbench) as pilot:
        await pilot.press("b", *"123", "down", "space")
        by = pilot.app.screen.query_one("#by", Chooser)
        by.focus()
        await pilot.press("right", "escape", "b")
        await pilot.pause()
        assert pilot.app.screen.query_one(Input).value == "123"
        assert TensorType.F16 not in pilot.app.screen.query_one(TypeToggles).chosen
        assert "a type for each  ◂ block ▸" in screen_text(pilot)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)])
async def test_all_choices_are_seen_at_once(workbench: FakeWorkbench, size: tuple[int, int]) -> None:
    async with running(workbench, size=size) as pilot:
        await pilot.press("b")
        await pilot.pause()
        screen = pilot.app.screen
        box = screen.query_one("BudgetScreen > Vertical")
        assert not box.max_scroll_y
        for widget in screen.focus_chain:
            assert widget.region.height and screen.region.contains_region(widget.region)


async def test_in_the_smallest_terminal_what_has_the_focus_is_seen(workbench: FakeWorkbench) -> None:
    async with running(workbench, size=(60, 18)) as pilot:
        await pilot.press("b")
        for _ in range(4):
            await pilot.pause(0.1)
            box = pilot.app.screen.query_one("BudgetScreen > Vertical")
            assert box.region.overlaps(pilot.app.focused.region)
            await pilot.press("tab")
