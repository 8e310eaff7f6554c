"""Vim's keys and the arrows do the same wherever there is something to move in, and esc leaves."""

from __future__ import annotations

import pytest
from driving import running
from fakes import FakeWorkbench
from model_shapes import llama_shape
from textual.widgets import OptionList

from lqtui.tui.screens.open_model import GgufTree, OpenModelScreen
from lqtui.tui.widgets.choices import Pages
from lqtui.tui.widgets.layer_grid import LayerGrid

DOWN, UP, LAST, FIRST = ("j", "down"), ("k", "up"), ("G", "end"), ("g", "home")
PAGE_DOWN, PAGE_UP = ("ctrl+d", "pagedown"), ("ctrl+u", "pageup")


async def until(pilot, is_so) -> None:
    for _ in range(100):
        if is_so():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not come about within two seconds")


async def moves(pilot, place) -> list[list[object]]:
    """Where each pair of keys leads, the vim key first."""
    found = []
    for pair in (LAST, FIRST, DOWN, PAGE_DOWN, UP, PAGE_UP):
        led = []
        for key in pair:
            await pilot.press("home" if pair in (LAST, DOWN, PAGE_DOWN) else "end")
            await pilot.press(key)
            await pilot.pause()
            led.append(place())
        found.append(led)
    return found


@pytest.mark.parametrize("opens", ["t", "p"])
async def test_a_list_in_a_dialog_is_moved_in_by_vims_keys_and_left_by_esc(workbench, opens):
    async with running(workbench, (100, 24)) as pilot:
        await pilot.press(opens)
        await pilot.pause()
        options = pilot.app.screen.query_one(OptionList)
        pairs = await moves(pilot, lambda: options.highlighted)
        assert all(vim == arrow for vim, arrow in pairs) and pairs[0] != pairs[1]
        await pilot.press("escape")
        assert pilot.app.screen is pilot.app.main


@pytest.mark.parametrize("opens", ["question_mark", "e"])
async def test_a_text_is_scrolled_by_vims_keys_and_left_by_esc(workbench, opens):
    async with running(workbench, (80, 18)) as pilot:
        await pilot.press(opens)
        await pilot.pause()
        page = pilot.app.screen.query_one(Pages)
        pairs = await moves(pilot, lambda: page.scroll_y)
        assert all(vim == arrow for vim, arrow in pairs)
        assert opens == "e" or pairs[0] != pairs[1]  # the script is short
        await pilot.press("escape")
        assert pilot.app.screen is pilot.app.main


async def test_the_layers_are_paged_by_vims_keys():
    async with running(FakeWorkbench(llama_shape(80)), (80, 24)) as pilot:
        grid = pilot.app.main.query_one(LayerGrid)
        pairs = await moves(pilot, lambda: grid.selection.row)
        assert all(vim == arrow for vim, arrow in pairs) and len({pair[0] for pair in map(tuple, pairs)}) == 6


async def test_folders_are_gone_through_by_vims_keys(workbench, tmp_path, monkeypatch):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for name in ("x", "y", "z"):
        (tmp_path / f"{name}.gguf").write_bytes(b"GGUF")
    async with running(workbench, (100, 30)) as pilot:
        pilot.app.push_screen(OpenModelScreen(tmp_path))
        await pilot.pause()
        tree = pilot.app.screen.query_one(GgufTree)
        tree.focus()
        await until(pilot, lambda: len(tree.root.children) == 4)
        await pilot.press("j", "l")
        assert tree.cursor_node.is_expanded and tree.cursor_node.data.path == tmp_path / "a"
        await until(pilot, lambda: len(tree.cursor_node.children) == 1)
        await pilot.press("j", "h")
        assert tree.cursor_node.data.path == tmp_path / "a"
        await pilot.press("G")
        assert tree.cursor_node.data.path == tmp_path / "z.gguf"
        await pilot.press("g")
        assert tree.cursor_node.data.path == tmp_path
        await pilot.press("escape")
        assert pilot.app.screen is pilot.app.main
