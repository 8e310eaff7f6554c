"""From a folder of safetensors to an open model: the offer, the question, and what follows the job."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import write_checkpoint
from driving import running, screen_text, toasts
from fakes import FakeWorkbench
from model_shapes import llama_shape, qwen_shape
from textual.widgets import Input

from lqtui.tui.screens.convert import ConvertScreen
from lqtui.tui.screens.main import MainScreen
from lqtui.tui.screens.open_model import OpenModelScreen
from lqtui.workbench import Job, JobState
from lqtui.worker.convert_messages import OutType


class ConvertingWorkbench(FakeWorkbench):
    """Converts when the test says so."""

    def __init__(self) -> None:
        super().__init__(llama_shape(), models={"m-F16.gguf": qwen_shape()})
        self.converted: list[tuple[Path, Path, str]] = []

    def convert(self, folder: Path, out: Path, out_type: OutType) -> Job:
        self.converted.append((folder, out, out_type))
        return self._start(f"convert {folder.name}", "convert")

    async def wait(self, job: Job) -> Job:
        import asyncio

        while self.jobs[job.id - 1].active:
            await asyncio.sleep(0.005)
        return self.jobs[job.id - 1]


@pytest.fixture
def bench() -> ConvertingWorkbench:
    return ConvertingWorkbench()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "models" / "m")


async def choose(pilot, folder: Path) -> None:
    """Type a folder into the open screen, and take its offer."""
    await pilot.press("o")
    await pilot.pause()
    screen = pilot.app.screen
    assert isinstance(screen, OpenModelScreen)
    line = screen.query_one("Input", Input)
    line.value = str(folder)
    line.focus()
    await pilot.press("enter")
    await pilot.pause(0.1)


async def test_a_folder_of_safetensors_is_offered_to_be_converted_and_another_is_not(bench, folder) -> None:
    async with running(bench, notifications=True) as pilot:
        await choose(pilot, folder.parent)
        assert "c makes a GGUF" not in screen_text(pilot)
        await pilot.press("c")
        assert isinstance(pilot.app.screen, OpenModelScreen)
        await pilot.press("escape")
        await choose(pilot, folder)
        assert "This folder holds a model in safetensors: c makes a GGUF of it" in screen_text(pilot)


async def test_converting_starts_a_job_and_its_model_is_opened(bench, folder) -> None:
    async with running(bench, notifications=True) as pilot:
        await choose(pilot, folder)
        await pilot.press("c")
        await pilot.pause(0.1)
        assert "m: 4 weights, most of them BF16" in screen_text(pilot)
        await pilot.press("enter")
        await pilot.pause()
        out = folder.parent / "m-F16.gguf"
        assert bench.converted == [(folder, out, "f16")]
        assert isinstance(pilot.app.screen, MainScreen)
        bench.advance(1, state=JobState.DONE, message=f"1.0 MiB in {out}")
        await pilot.pause(0.1)
        assert bench.model is not None and bench.model.path == out


async def test_what_is_being_edited_is_not_lost_to_a_conversion(bench, folder) -> None:
    async with running(bench, notifications=True) as pilot:
        await choose(pilot, folder)
        await pilot.press("c")
        await pilot.pause(0.1)
        await pilot.press("enter", "4")
        bench.advance(1, state=JobState.DONE)
        await pilot.pause(0.1)
        assert any("m-F16.gguf is here, but the recipe is not saved: o opens it." in t for t in toasts(pilot))
        assert bench.model is not None and bench.model.shape.name != "Qwen2-0.5B-Instruct"


async def test_the_type_changes_the_size_and_the_name_until_that_was_typed(bench, folder) -> None:
    async with running(bench) as pilot:
        await choose(pilot, folder)
        await pilot.press("c")
        await pilot.pause(0.1)
        screen = pilot.app.screen
        assert isinstance(screen, ConvertScreen)
        await pilot.press("shift+tab", "right", "right")
        await pilot.pause()
        line = screen.query_one(Input)
        assert Path(line.value).name == "m-F32.gguf" and "F32, about" in screen_text(pilot)
        line.value = str(folder.parent / "mine")
        await pilot.press("right")
        assert Path(line.value).name == "mine"
        line.focus()
        await pilot.press("enter")
        await pilot.pause()
        assert bench.converted == [(folder, folder.parent / "mine.gguf", "auto")]


async def test_a_snapshot_is_converted_to_where_the_person_is(
    bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_checkpoint(tmp_path / "hub" / "models--o--n" / "snapshots" / "0123abcd")
    async with running(bench) as pilot:
        await choose(pilot, folder)
        await pilot.press("c")
        await pilot.pause(0.1)
        assert pilot.app.screen.query_one(Input).value == str(tmp_path / "n-F16.gguf")


async def test_a_model_that_is_not_whole_is_a_toast(bench, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "m", parts=2)
    (folder / "model-00001-of-00002.safetensors").unlink()
    async with running(bench, notifications=True) as pilot:
        await choose(pilot, folder)
        await pilot.press("c")
        await pilot.pause(0.1)
        assert any("lacks model-00001-of-00002.safetensors" in toast for toast in toasts(pilot))
        assert bench.converted == []
