"""The process boundary: whatever becomes of the child, the parent hears one sentence and the next job runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
import pytest
from gguf_files import write_tiny_llama

from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import base_recipe, resolve
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.worker.client import EngineDied, JobFailed, log_tail, run_task
from lqtui.worker.messages import (
    ChunkScored,
    Describe,
    Event,
    Fingerprint,
    Finished,
    Measure,
    PerplexityMeasured,
    Progress,
    ReadHeader,
    RecipeTypes,
    SpeedMeasured,
    Task,
    WriteModel,
)

T = TypeVar("T")
DIGEST = "0" * 64


@dataclass
class Run:
    """One task in a child process, and what it told."""

    log: Path
    events: list[Event] = field(default_factory=list)
    pid: int = 0
    until: Callable[[Event], bool] = lambda _: False
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, task: Task) -> Finished:
        return await run_task(task, self.log, self._hear, self._started)

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        if self.until(event):
            self.reached.set()

    def _started(self, pid: int) -> None:
        self.pid = pid

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "job.log")


def measure_task(
    model: Path, shape: ModelShape, corpus: Path, paths: Paths, *names: str, **changes: object
) -> Measure:
    plans = [resolve(shape, preset(name, shape)) for name in names]
    recipes = [
        RecipeTypes({p.name: p.effective for p in plan.tensors}, perplexity=True, speed=False)
        for plan in plans
    ]
    values: dict[str, object] = {
        "model": model,
        "recipes": recipes,
        "pool": paths.pool,
        "model_digest": DIGEST,
        "label": "tiny",
        "corpus": corpus,
        "n_ctx": 128,
        "chunks": 3,
        "repetitions": 2,
        "n_prompt": 16,
        "n_gen": 4,
        "threads": 1,
    }
    return Measure(**(values | changes))  # type: ignore[arg-type]


def write_task(
    model: Path, shape: ModelShape, out: Path, paths: Paths, name: str = "uniform_q4_0"
) -> WriteModel:
    plan = resolve(shape, preset(name, shape))
    types = {p.name: p.effective for p in plan.tensors}
    return WriteModel(model, types, plan.file_type.number, out, paths.pool, "", 1)


def partials(*folders: Path) -> list[Path]:
    return [path for folder in folders if folder.exists() for path in folder.rglob("*.part")]


def is_gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes seconds to quantize to Q2_K and long to run: there is time to kill its child."""
    path = tmp_path_factory.mktemp("slow") / "slow.gguf"
    return write_tiny_llama(path, blocks=12, width=512, ffn=2048)


@pytest.fixture(scope="session")
def slow_shape(slow_model: Path) -> ModelShape:
    from lqtui.llama.gguf import BaseModel

    with BaseModel(slow_model) as base:
        return base.shape


def slow_types(shape: ModelShape) -> dict[str, TensorType]:
    plan = resolve(shape, base_recipe(shape))
    return {p.name: TensorType.Q2_K if p.quantizable else p.effective for p in plan.tensors}


def slow_measure(
    moment: Callable[[Event], bool], model: Path, shape: ModelShape, corpus: Path, paths: Paths
) -> Measure:
    """A measurement that is long where `moment` lies; the base model itself needs no quantizing."""
    types = slow_types(shape)
    if moment is scored:
        types = {tensor.name: tensor.type for tensor in shape.tensors}
    recipes = [RecipeTypes(types, perplexity=True, speed=False)]
    return measure_task(model, shape, corpus, paths, recipes=recipes, n_ctx=512, chunks=40)


def slow_write(model: Path, shape: ModelShape, out: Path, paths: Paths) -> WriteModel:
    return WriteModel(model, slow_types(shape), 10, out, paths.pool, "", 1)


def scored(event: Event) -> bool:
    return isinstance(event, ChunkScored)


def quantized_something(event: Event) -> bool:
    return isinstance(event, Progress) and event.stage in ("quantizing", "writing") and event.done > 0


# What each task finishes with


async def test_a_header_is_read_to_the_shape_that_the_engine_itself_reads(
    run: Run, tiny_model: Path, tiny_shape: ModelShape
) -> None:
    assert repr((await run(ReadHeader(tiny_model))).shape) == repr(tiny_shape)


async def test_a_fingerprint_is_the_files_sha256(run: Run, tiny_model: Path) -> None:
    digest = (await run(Fingerprint(tiny_model))).digest
    told = subprocess.run(["sha256sum", tiny_model], capture_output=True, text=True, check=True)
    assert digest == told.stdout.split()[0]


async def test_a_measurement_tells_each_chunk_and_each_speed(
    run: Run, tiny_model: Path, tiny_shape: ModelShape, tiny_corpus: Path, paths: Paths
) -> None:
    plan = resolve(tiny_shape, preset("uniform_q4_0", tiny_shape))
    recipes = [RecipeTypes({p.name: p.effective for p in plan.tensors}, perplexity=True, speed=True)]
    await run(measure_task(tiny_model, tiny_shape, tiny_corpus, paths, recipes=recipes))
    chunks = run.of(ChunkScored)
    assert [chunk.chunk for chunk in chunks] == [0, 1, 2]
    assert all(len(np.frombuffer(chunk.nll)) == 128 - 1 - 64 for chunk in chunks)
    assert len(run.of(PerplexityMeasured)) == 1
    assert [(s.n_prompt, s.n_gen, len(s.tokens_per_second)) for s in run.of(SpeedMeasured)] == [
        (16, 0, 2),
        (0, 4, 2),
    ]
    assert not partials(paths.pool)


async def test_a_measurement_goes_on_after_the_chunks_that_are_known(
    tmp_path: Path, tiny_model: Path, tiny_shape: ModelShape, tiny_corpus: Path, paths: Paths
) -> None:
    whole, rest = Run(tmp_path / "whole.log"), Run(tmp_path / "rest.log")
    task = measure_task(tiny_model, tiny_shape, tiny_corpus, paths, "uniform_q4_0")
    await whole(task)
    types = task.recipes[0].types
    later = RecipeTypes(types, perplexity=True, speed=False, chunks_known=2)
    await rest(measure_task(tiny_model, tiny_shape, tiny_corpus, paths, recipes=[later]))
    assert [(c.chunk, c.nll) for c in rest.of(ChunkScored)] == [(2, whole.of(ChunkScored)[2].nll)]


async def test_a_model_is_written_with_the_size_that_was_planned(
    run: Run, tiny_model: Path, tiny_shape: ModelShape, tmp_path: Path, paths: Paths
) -> None:
    out = tmp_path / "out.gguf"
    done = await run(write_task(tiny_model, tiny_shape, out, paths))
    plan = resolve(tiny_shape, preset("uniform_q4_0", tiny_shape))
    assert done.bytes == out.stat().st_size == plan.file_bytes
    assert not partials(tmp_path)


async def test_the_engine_describes_itself(run: Run) -> None:
    engine = (await run(Describe())).engine
    assert engine is not None and "CPU" in engine.system_info


# What cannot be done is one sentence


async def test_a_refusal_of_the_engine_is_a_sentence_that_names_the_file(run: Run, tmp_path: Path) -> None:
    zeros = tmp_path / "zeros.gguf"
    zeros.write_bytes(bytes(1 << 16))
    with pytest.raises(JobFailed, match=r"zeros\.gguf is not a GGUF file"):
        await run(ReadHeader(zeros))


async def test_a_file_name_that_is_not_unicode_is_refused(run: Run) -> None:
    with pytest.raises(JobFailed, match="not valid Unicode"):
        await run(ReadHeader(Path(os.fsdecode(b"/tmp/\xff.gguf"))))


async def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(JobFailed, match="log .* cannot be written"):
        await run_task(ReadHeader(tiny_model), tmp_path / "no" / "job.log")


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
    with pytest.raises(EngineDied, match=f"ended by {number.name}.*its log ends: "):
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
    with pytest.raises(EngineDied, match="SIGKILL .*memory runs out"):
        await asyncio.wait_for(job, 10)
    assert list(folder.iterdir()) == [foreign]


# Cancelling


@pytest.mark.parametrize("what", ["quantizing", "perplexity", "writing"])
async def test_cancelling_ends_the_child_in_two_seconds_and_leaves_nothing_half_written(
    what: str,
    run: Run,
    tmp_path: Path,
    slow_model: Path,
    slow_shape: ModelShape,
    tiny_corpus: Path,
    paths: Paths,
) -> None:
    run.until = scored if what == "perplexity" else quantized_something
    folder = tmp_path / "out"
    folder.mkdir()
    task: Task = slow_measure(run.until, slow_model, slow_shape, tiny_corpus, paths)
    if what == "writing":
        task = slow_write(slow_model, slow_shape, folder / "model.gguf", paths)
    job = asyncio.create_task(run(task))
    await asyncio.wait_for(run.reached.wait(), 20)
    began = time.monotonic()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert time.monotonic() - began < 2
    assert is_gone(run.pid)
    assert not list(folder.iterdir()) and not partials(paths.pool)


async def test_cancelling_twice_does_not_wait_for_the_grace(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend_child(monkeypatch, tmp_path, STUBBORN)
    job = asyncio.create_task(run(Describe()))
    await _wait_for(tmp_path / "ready")
    job.cancel()
    await asyncio.sleep(0.1)
    began = time.monotonic()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert time.monotonic() - began < 0.5
    assert is_gone(run.pid)


async def test_a_child_that_ignores_the_request_goes_with_all_that_it_started(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend_child(monkeypatch, tmp_path, STUBBORN)
    job = asyncio.create_task(run(Describe()))
    await _wait_for(tmp_path / "ready")
    grandchild = int((tmp_path / "ready").read_text())
    began = time.monotonic()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert time.monotonic() - began < 2
    assert is_gone(run.pid) and is_gone(grandchild)


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
    deadline = time.monotonic() + 4
    while not is_gone(child) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert is_gone(child)
    assert not list(folder.iterdir())


APP = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from lqtui.llama.gguf import BaseModel
    from lqtui.recipe.types import TensorType
    from lqtui.recipe.rules import quantizable_tensors
    from lqtui.worker.client import run_task
    from lqtui.worker.messages import WriteModel

    model, out = map(Path, sys.argv[1:])
    with BaseModel(model) as base:
        types = {tensor.name: TensorType.Q2_K for tensor in quantizable_tensors(base.shape)}
    told = set()
    def hear(event):
        if event.done and "writing" not in told:
            told.add("writing")
            print("writing", flush=True)
    task = WriteModel(model, types, 10, out, out.parent, "", 1)
    asyncio.run(run_task(task, Path("/dev/null"), hear, lambda pid: print(pid, flush=True)))
    """
)


# A child that speaks nonsense

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


def _pretend_child(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Have the client start this program as its child."""
    program = folder / "pretend.py"
    program.write_text(textwrap.dedent(code))
    script = folder / "pretend"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "{folder}"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(script))


async def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "said",
    [
        b"hello, I am no message",
        struct.pack(">I", 5) + b"{bad}",
        struct.pack(">I", 16) + b'{"type":"Nobody"}'[:16],
        struct.pack(">I", 0xFFFFFFFF) + b"x",
    ],
    ids=["text", "bad JSON", "unknown message", "4 GiB"],
)
async def test_a_child_that_speaks_nonsense_and_lives_on_is_ended(
    said: bytes, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"import sys, time; sys.stdout.buffer.write({said!r}); sys.stdout.flush(); time.sleep(60)"
    _pretend_child(monkeypatch, tmp_path, code)
    with pytest.raises(EngineDied, match="no message of lqtui's"):
        await asyncio.wait_for(run(Describe()), 5)
    assert is_gone(run.pid)


async def test_a_child_that_ends_without_an_answer_is_told_with_its_last_words(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend_child(
        monkeypatch, tmp_path, "import sys; print('ggml error: no luck', file=sys.stderr); sys.exit(3)"
    )
    with pytest.raises(EngineDied, match=r"exit code 3; its log ends: ggml error: no luck"):
        await run(Describe())


async def test_a_message_cut_short_is_a_death(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend_child(monkeypatch, tmp_path, "import sys; sys.stdout.buffer.write(b'\\0\\0\\0\\x09{}')")
    with pytest.raises(EngineDied, match="exit code 0"):
        await run(Describe())


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


# The log


def test_the_tail_of_a_huge_log_is_read_without_reading_all_of_it(tmp_path: Path) -> None:
    log = tmp_path / "huge.log"
    with log.open("wb") as file:
        file.truncate(8 << 30)  # sparse
        file.seek(0, os.SEEK_END)
        file.write(b"\n".join(b"line %d" % i for i in range(1000)) + b"\xff\xfe\n")
    tail = log_tail(log, 10)
    assert tail.splitlines()[0] == "line 990" and len(tail.splitlines()) == 10


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "none.log") == ""


async def test_a_child_that_logs_without_end_does_not_hold_up_its_answer(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
        import sys
        for _ in range(200_000):
            print("llama_model_loader: a line that nobody reads", file=sys.stderr)
        body = b'{"type":"Failed","message":"done with it"}'
        sys.stdout.buffer.write(len(body).to_bytes(4, "big") + body)
    """
    _pretend_child(monkeypatch, tmp_path, code)
    with pytest.raises(JobFailed, match="^done with it$"):
        await run(Describe())
    assert run.log.stat().st_size > 8 << 20
