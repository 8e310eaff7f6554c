"""Why a tensor has its type: what y says."""

from __future__ import annotations

from driving import running, screen_text, status, toasts


async def test_y_says_why_a_tensor_got_its_type(workbench):
    workbench.reasons = {"blk.0.attn_q.weight": "Q4_0 → Q5_0 would cost 1 MiB and save nothing."}
    async with running(workbench) as pilot:
        await pilot.press("]", "y")
        await pilot.pause()
        assert toasts(pilot) == ["Q4_0 → Q5_0 would cost 1 MiB and save nothing."]


async def test_y_on_a_block_tells_of_its_tensors_together_where_the_reason_is_one(workbench):
    names = [name for name in workbench.plan.by_name if name.startswith("blk.0.")]
    workbench.reasons = dict.fromkeys(names, "one reason")
    async with running(workbench) as pilot:
        await pilot.press("y")
        await pilot.pause()
        assert toasts(pilot) == ["one reason"]


async def test_y_on_a_block_tells_of_each_tensor_where_reasons_differ(workbench):
    names = [name for name in workbench.plan.by_name if name.startswith("blk.0.")]
    workbench.reasons = dict.fromkeys(names, "one reason") | {"blk.0.ffn_up.weight": "another"}
    async with running(workbench) as pilot:
        await pilot.press("4", "y")
        await pilot.pause()
        said = screen_text(pilot)
        assert "why block 0" in said and "ffn_up Q4_0" in said and "another" in said
        assert said.count("one reason") == 6
        await pilot.press("y")
        assert pilot.app.screen is pilot.app.main


async def test_y_on_a_block_says_once_what_holds_for_all_of_its_tensors(workbench):
    names = [name for name in workbench.plan.by_name if name.startswith("blk.0.")]
    workbench.reasons = {name: f"reason of {name}" for name in names}
    workbench.market = "The last MiB of this budget went for 0.004."
    async with running(workbench) as pilot:
        await pilot.press("y")
        await pilot.pause()
        assert screen_text(pilot).count("The last MiB of this budget") == 1
        await pilot.press("y", "]", "y")
        await pilot.pause()
        assert toasts(pilot) == ["reason of blk.0.attn_q.weight"]


async def test_y_before_any_fit_says_what_would_answer(workbench):
    async with running(workbench) as pilot:
        await pilot.press("y")
        await pilot.pause()
        assert status(pilot).startswith("No recipe was fitted yet that could say why: b ")
