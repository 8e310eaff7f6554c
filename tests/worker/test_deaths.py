"""A child that is killed, crashes, is cancelled or orphaned: one failed job, and nothing half-written."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lqtui.recipe.shape import ModelShape
from lqtui.store.paths import Paths
from lqtui.worker.client import EngineDied, run_task
from lqtui.worker.messages import (
    Describe,
    Event,
    ReadHeader,
    Task,
)
from tests.worker.child_runs import (
    Run,
    is_gone,
    partials,
    pretend_child,
    quantized_something,
    scored,
    slow_measure,
    slow_write,
    wait_for,
)

# A child that dies


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
@pytest.mark.parametrize("moment", [quantized_something, scored])
async def test_a_child_killed_mid_job_is_one_failed_job_and_the_next_one_runs(
    number: signal.Signals,
    moment: Callable[[Event], bool],
    run: Run,
    tmp_path: Path,
    slow_model: Path,
    slow_shape: ModelShape,
    tiny_corpus: Path,
    paths: Paths,
) -> None:
    run.until = moment
    job = asyncio.create_task(run(slow_measure(moment, slow_model, slow_shape, tiny_corpus, paths)))
    await asyncio.wait_for(run.reached.wait(), 20)
    os.kill(run.pid, number)
    with pytest.raises(EngineDied, match=rf"ended by {number.name}.*log (says|shows)"):
        await asyncio.wait_for(job, 10)
    assert is_gone(run.pid)
    assert not partials(paths.pool)
    after = Run(tmp_path / "after.log")
    assert repr((await after(ReadHeader(slow_model))).shape) == repr(slow_shape)


async def test_a_child_killed_while_it_writes_leaves_neither_out_nor_a_part_of_it(
    run: Run, tmp_path: Path, slow_model: Path, slow_shape: ModelShape, paths: Paths
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    foreign = folder / ".model.gguf.999999999-abc.part"  # another lqtui writes the same file
    foreign.touch()
    run.until = quantized_something
    job = asyncio.create_task(run(slow_write(slow_model, slow_shape, folder / "model.gguf", paths)))
    await asyncio.wait_for(run.reached.wait(), 20)
    assert len(partials(folder)) == 2
    os.kill(run.pid, signal.SIGKILL)
    with pytest.raises(EngineDied, match=r"SIGKILL .*memory runs out"):
        await asyncio.wait_for(job, 10)
    assert list(folder.iterdir()) == [foreign]


# Cancelling


@pytest.mark.parametrize("what", ["quantizing", "scoring", "writing"])
async def test_cancelling_ends_the_child_and_leaves_nothing_half_written(
    what: str,
    run: Run,
    tmp_path: Path,
    slow_model: Path,
    slow_shape: ModelShape,
    tiny_corpus: Path,
    paths: Paths,
) -> None:
    run.until = scored if what == "scoring" else quantized_something
    folder = tmp_path / "out"
    folder.mkdir()
    task: Task = slow_measure(run.until, slow_model, slow_shape, tiny_corpus, paths)
    if what == "writing":
        task = slow_write(slow_model, slow_shape, folder / "model.gguf", paths)
    job = asyncio.create_task(run(task))
    await asyncio.wait_for(run.reached.wait(), 20)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert is_gone(run.pid)
    assert not list(folder.iterdir()) and not partials(paths.pool)


async def test_cancelling_twice_does_not_wait_for_the_grace(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lqtui.worker.client._GRACE_SECONDS", 3600)
    pretend_child(monkeypatch, tmp_path, STUBBORN)
    job = asyncio.create_task(run(Describe()))
    await wait_for(tmp_path / "ready")
    job.cancel()
    await asyncio.sleep(0.1)
    assert not job.done()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(job, 20)
    assert is_gone(run.pid)


async def test_a_child_that_ignores_the_request_goes_with_all_that_it_started(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_child(monkeypatch, tmp_path, STUBBORN)
    job = asyncio.create_task(run(Describe()))
    await wait_for(tmp_path / "ready")
    grandchild = int((tmp_path / "ready").read_text())
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(job, 20)  # it would go on for a minute
    assert is_gone(run.pid)
    deadline = time.monotonic() + 5  # it is killed with the group, and nobody waits for it
    while not is_gone(grandchild) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert is_gone(grandchild)


async def test_no_child_outlives_an_app_that_is_killed(
    tmp_path: Path, slow_model: Path, slow_shape: ModelShape
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    app = subprocess.Popen(
        [sys.executable, "-c", APP, slow_model, folder / "model.gguf"], stdout=subprocess.PIPE, text=True
    )
    assert app.stdout is not None
    child = int(app.stdout.readline())
    assert app.stdout.readline() == "writing\n" and partials(folder)
    app.kill()
    app.wait()
    deadline = time.monotonic() + 20
    while not is_gone(child) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert is_gone(child)
    assert not list(folder.iterdir())


async def test_an_error_in_hearing_ends_the_child_too(
    run: Run, tiny_model: Path, tmp_path: Path, slow_model: Path, slow_shape: ModelShape, paths: Paths
) -> None:
    def hear(event: Event) -> None:
        raise ValueError("a defect of the listener")

    pids: list[int] = []
    with pytest.raises(ValueError, match="listener"):
        await run_task(
            slow_write(slow_model, slow_shape, tmp_path / "o.gguf", paths), run.log, hear, pids.append
        )
    assert is_gone(pids[0])
    assert not partials(tmp_path)


APP = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from lqtui.llama.gguf import BaseModel
    from lqtui.recipe.imatrix import Encoding
    from lqtui.recipe.types import TensorType
    from lqtui.recipe.rules import quantizable_tensors
    from lqtui.worker.client import run_task
    from lqtui.worker.messages import WriteModel

    model, out = map(Path, sys.argv[1:])
    with BaseModel(model) as base:
        encodings = {tensor.name: Encoding(TensorType.Q2_K) for tensor in quantizable_tensors(base.shape)}
    told = set()
    def hear(event):
        if event.done and "writing" not in told:
            told.add("writing")
            print("writing", flush=True)
    task = WriteModel(model, encodings, 10, out, out.parent, "", 1)
    asyncio.run(run_task(task, Path("/dev/null"), hear, lambda pid: print(pid, flush=True)))
    """
)


STUBBORN = """
    import pathlib, signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    sleeper = subprocess.Popen([sys.executable, "-c", sleep])
    time.sleep(0.2)
    ready = pathlib.Path(sys.argv[1], "ready.tmp")
    ready.write_text(str(sleeper.pid))
    ready.rename(ready.with_suffix(""))
    time.sleep(60)
"""
