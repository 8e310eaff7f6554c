"""The Hub's screen on a real workbench, against a Hub on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from local_hub import LocalHub, sibling
from textual.pilot import Pilot
from textual.widgets import Input, Static

from lqtui.store.paths import Paths
from lqtui.tui.app import LqtuiApp
from lqtui.tui.screens.confirm import ConfirmScreen
from lqtui.tui.screens.hub import HubScreen
from lqtui.tui.screens.open_model import OpenModelScreen
from lqtui.tui.widgets.hub_list import HubList, compact
from lqtui.workbench import JobState, Settings, Workbench
from lqtui.workbench.downloads import REFERENCE_FILE, REFERENCE_REPOSITORY

OWNER = "someone/Tiny-GGUF"


@pytest.fixture
def stocked(hub: LocalHub, tiny_model: Path) -> LocalHub:
    """A Hub with a small model, and the reference model, which is as small here."""
    hub.add(OWNER, "tiny-f16.gguf", tiny_model.read_bytes())
    hub.add(OWNER, "tiny-q8_0.gguf", b"eight bits" * 1000)
    hub.add(REFERENCE_REPOSITORY, REFERENCE_FILE, tiny_model.read_bytes())
    hub.repositories[OWNER].downloads = 12_345
    return hub


@asynccontextmanager
async def hub_screen(
    paths: Paths, demo: Path, size: tuple[int, int] = (100, 30)
) -> AsyncIterator[Pilot[None]]:
    """The app on the demo model, with the Hub's screen open and the cache looked at."""
    app = LqtuiApp(Workbench(paths, Settings(threads=1)), demo, read_meters=None)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: app.workbench.model is not None)
        await open_hub(pilot)
        yield pilot


async def open_hub(pilot: Pilot[None]) -> None:
    await pilot.press("D")
    await until(
        pilot, lambda: isinstance(pilot.app.screen, HubScreen) and pilot.app.screen._cache is not None
    )


async def until(pilot: Pilot[None], condition: Callable[[], bool], seconds: float = 30) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not come to that")


def rows(pilot: Pilot[None]) -> list[str]:
    """What the list says, without its titles."""
    found = pilot.app.screen.query_one(HubList)
    return [found.render_line(y).text.rstrip() for y in range(1, len(found.item_keys) + 1)]


def text(pilot: Pilot[None], selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).visual)


def bench(pilot: Pilot[None]) -> Workbench:
    assert isinstance(pilot.app, LqtuiApp)
    return pilot.app.workbench


async def ask(pilot: Pilot[None], words: str) -> None:
    await pilot.press("slash")
    pilot.app.screen.query_one(Input).value = words
    await pilot.press("enter")


async def list_files(pilot: Pilot[None], name: str = OWNER) -> None:
    await ask(pilot, name)
    await until(pilot, lambda: text(pilot, "#heading").startswith(name))
    await until(pilot, lambda: "to download" in text(pilot, "#said"))  # which follows the list's cursor


async def test_the_reference_model_is_one_key_away_before_anything_is_typed(
    stocked: LocalHub, paths: Paths, demo_model: Path
) -> None:
    async with hub_screen(paths, demo_model) as pilot:
        assert rows(pilot)[0].split() == ["★", REFERENCE_FILE, "F16", "948.1", "MiB", "base"]
        await pilot.press("r")
        await until(pilot, lambda: bench(pilot).model.path.name == REFERENCE_FILE)
        await open_hub(pilot)
        assert [row.split()[:2] for row in rows(pilot)] == [["✓", REFERENCE_FILE]]
        await until(pilot, lambda: REFERENCE_REPOSITORY in text(pilot, "#said"))


async def test_a_model_is_searched_for_looked_at_downloaded_and_opened(
    stocked: LocalHub, paths: Paths, demo_model: Path
) -> None:
    async with hub_screen(paths, demo_model) as pilot:
        await ask(pilot, "tiny")
        await until(pilot, lambda: "1 repository" in text(pilot, "#heading"))
        assert rows(pilot)[0].split() == [OWNER, "12k", "0", "2024-08-21"]
        await pilot.press("enter")
        await until(pilot, lambda: "to download" in text(pilot, "#said"))
        assert [row.split() for row in rows(pilot)] == [
            ["tiny-f16.gguf", "F16", "0.3", "MiB", "base"],
            ["tiny-q8_0.gguf", "Q8_0", "0.0", "MiB", "quantized"],
        ]
        assert "0.3 MiB to download" in text(pilot, "#said") and "weights fit into" in text(pilot, "#said")
        await pilot.press("enter")
        await until(pilot, lambda: bench(pilot).model.path.name == "tiny-f16.gguf")
        [job] = [job for job in bench(pilot).jobs if job.kind == "download"]
        assert job.state is JobState.DONE and "its digest is right" in job.message


async def test_a_quantized_model_is_offered_as_that(
    stocked: LocalHub, paths: Paths, demo_model: Path
) -> None:
    async with hub_screen(paths, demo_model) as pilot:
        await list_files(pilot)
        await pilot.press("down")
        await until(pilot, lambda: "It is quantized already" in text(pilot, "#said"))


async def test_escape_goes_back_step_by_step(stocked: LocalHub, paths: Paths, demo_model: Path) -> None:
    async with hub_screen(paths, demo_model) as pilot:
        await ask(pilot, "gguf")
        await until(pilot, lambda: "2 repositories" in text(pilot, "#heading"))
        await pilot.press("down")
        second = pilot.app.screen.query_one(HubList).cursor
        await pilot.press("enter")
        await until(pilot, lambda: text(pilot, "#heading").startswith(str(second)))
        await pilot.press("escape")
        assert "2 repositories" in text(pilot, "#heading")
        assert pilot.app.screen.query_one(HubList).cursor == second
        await pilot.press("escape")
        assert "reference model" in text(pilot, "#heading")
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, HubScreen)


async def test_what_goes_wrong_is_a_sentence_and_what_was_shown_stays(
    stocked: LocalHub, paths: Paths, demo_model: Path
) -> None:
    async with hub_screen(paths, demo_model) as pilot:
        await list_files(pilot)
        await ask(pilot, "someone/Tiny-GUF")
        await until(pilot, lambda: "did you mean someone/Tiny-GGUF?" in text(pilot, "#said"))
        assert len(rows(pilot)) == 2
        await ask(pilot, "nothing like it")
        await until(pilot, lambda: "No repository with GGUF files" in text(pilot, "#said"))
        stocked.add("no/weights", "model.safetensors", b"weights")
        await ask(pilot, "https://huggingface.co/no/weights/tree/main")
        await until(pilot, lambda: "its model is in safetensors" in text(pilot, "#said"))


async def test_a_model_that_the_disk_has_no_room_for_is_not_begun(
    stocked: LocalHub, paths: Paths, demo_model: Path
) -> None:
    huge = sibling("huge-f16.gguf", b"")
    huge["lfs"]["size"] = 1 << 60
    stocked.repositories[OWNER].more = [huge]
    async with hub_screen(paths, demo_model) as pilot:
        await list_files(pilot)
        assert "not enough" in text(pilot, "#said") and "do not fit" in text(pilot, "#said")
        await pilot.press("enter")
        await until(pilot, lambda: "make room, or set HF_HOME" in text(pilot, "#said"))
        assert not [job for job in bench(pilot).jobs if job.kind == "download"]


async def test_a_download_opens_nothing_over_a_recipe_that_is_not_saved(
    stocked: LocalHub, paths: Paths, demo_model: Path
) -> None:
    async with hub_screen(paths, demo_model) as pilot:
        await list_files(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, HubScreen))
        await pilot.press("4")
        await until(pilot, lambda: any(j.kind == "download" and not j.active for j in bench(pilot).jobs))
        await until(pilot, lambda: any("is here, but" in n.message for n in pilot.app._notifications))
        assert bench(pilot).model.path == demo_model
        await open_hub(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: bench(pilot).model.path.name == "tiny-f16.gguf")


async def test_a_model_is_removed_once_the_person_is_sure(
    stocked: LocalHub, paths: Paths, demo_model: Path, hub_home: Path
) -> None:
    async with hub_screen(paths, demo_model) as pilot:
        await list_files(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: bench(pilot).model.path.name == "tiny-f16.gguf")
        await open_hub(pilot)
        await pilot.press("delete")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        await pilot.press("y")
        await until(
            pilot, lambda: isinstance(pilot.app.screen, HubScreen) and "✓" not in "".join(rows(pilot))
        )
        assert not list(hub_home.rglob("*.gguf"))


async def test_the_hub_is_reached_from_the_open_screen(
    stocked: LocalHub, paths: Paths, demo_model: Path
) -> None:
    async with hub_screen(paths, demo_model) as pilot:
        await pilot.press("escape", "o")
        assert isinstance(pilot.app.screen, OpenModelScreen)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, HubScreen))


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (60, 18)])
async def test_lines_fit_their_width(
    stocked: LocalHub, paths: Paths, demo_model: Path, size: tuple[int, int]
) -> None:
    stocked.add_repository(
        "averyveryverylongorganization/An-Extremely-Long-Name-Of-A-Model-GGUF", gated="auto"
    )
    async with hub_screen(paths, demo_model, size) as pilot:
        assert rows(pilot)[0].endswith(" base")
        await ask(pilot, "gguf")
        await until(pilot, lambda: "3 repositories" in text(pilot, "#heading"))
        assert rows(pilot)[-1].endswith("gated")
        assert not any(row.endswith("…") for row in rows(pilot))


def test_counts_are_short() -> None:
    assert [compact(n) for n in (0, 812, 1234, 12_345, 3_400_000, 7_600_000_000)] == [
        "0",
        "812",
        "1.2k",
        "12k",
        "3.4M",
        "7.6B",
    ]
