"""Conversions as jobs of the workbench: with or without an open model, and never over it."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import write_checkpoint, write_stand_in

from lqtui.workbench import JobState, Workbench, WorkbenchError
from lqtui.workbench.converting import converted_name, convertible
from tests.workbench.bench_jobs import done, state, until


@pytest.fixture(autouse=True)
def converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write_stand_in(tmp_path / "tools")
    monkeypatch.setenv("LQTUI_CONVERTER", str(found.checkout))
    monkeypatch.setenv("LQTUI_CONVERTER_PYTHON", str(found.python))


async def test_no_model_need_be_open_and_the_result_can_be_opened(
    bench: Workbench, tmp_path: Path, tiny_model: Path
) -> None:
    folder, out = write_checkpoint(tmp_path / "m", gguf=tiny_model), tmp_path / "out.gguf"
    job = await done(bench, bench.convert(folder, out))
    assert str(out) in job.message
    await bench.open(out, fingerprint=False)
    assert bench.model is not None and bench.model.path == out


async def test_opening_a_model_leaves_a_conversion_running(
    bench: Workbench, tmp_path: Path, tiny_model: Path
) -> None:
    job = bench.convert(write_checkpoint(tmp_path / "m", "takes long"), tmp_path / "out.gguf")
    await until(lambda: state(bench, job) is JobState.RUNNING)
    await bench.open(tiny_model, fingerprint=False)
    assert state(bench, job) is JobState.RUNNING
    bench.cancel(job.id)
    assert (await bench.wait(job)).state is JobState.CANCELLED


async def test_the_open_model_is_not_written_over(bench: Workbench, tmp_path: Path, tiny_model: Path) -> None:
    await bench.open(tiny_model, fingerprint=False)
    with pytest.raises(WorkbenchError, match="is the base model itself"):
        bench.convert(write_checkpoint(tmp_path / "m"), tiny_model)


def test_a_folder_tells_what_its_gguf_would_be_called(tmp_path: Path) -> None:
    found = convertible(write_checkpoint(tmp_path / "m"))
    assert [converted_name(found, kind) for kind in ("f16", "f32", "auto")] == [
        "m-F16.gguf",
        "m-F32.gguf",
        "m-BF16.gguf",
    ]
    with pytest.raises(WorkbenchError, match=r"has no config\.json"):
        convertible(tmp_path)
