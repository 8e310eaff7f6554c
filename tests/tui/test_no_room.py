"""Dialogs outlive a terminal that is made too small for them, and keys that come before their first paint."""

from __future__ import annotations

import pytest
from driving import running, screen_text
from fakes import FakeWorkbench

PAGING = ("pagedown", "pageup", "end", "down", "home", "up")

DIALOGS = {"ctrl+p": "Search for commands", "t": "bpw", "p": "tab next group", "?": "lqtui: keys"}
"""Keys that open one, and what it shows."""


@pytest.mark.parametrize("size", [(30, 4), (3, 2)])
async def test_a_dialog_that_lost_its_room_takes_keys_and_is_whole_again_when_it_has_room(
    workbench: FakeWorkbench, size: tuple[int, int]
) -> None:
    async with running(workbench) as pilot:
        for key, shows in DIALOGS.items():
            await pilot.press(key)
            await pilot.resize_terminal(*size)
            await pilot.press(*PAGING)
            await pilot.resize_terminal(120, 36)
            await pilot.pause()
            assert shows in screen_text(pilot)
            await pilot.press("escape")
            await pilot.pause()
