"""Jobs that outlive the app: what is written down of them, who is offered them, and how they go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from local_hub import LocalHub

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.recipe import with_types
from lqtui.recipe.types import TensorType
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.workbench import JobState, Settings, Workbench, WorkbenchError
from lqtui.workbench.unfinished import _started, left_of, own_file
from tests.workbench.bench_jobs import done, measure, planned, row, state, until

Q4 = TensorType.Q4_0


@pytest.fixture
async def remembering(bench: Workbench, demo_model: Path) -> Workbench:
    bench.remember_jobs()
    await bench.open(demo_model)
    return bench


async def reopened(paths: Paths, settings: Settings, model: Path) -> Workbench:
    later = Workbench(paths, settings)
    later.remember_jobs()
    await later.open(model)
    return later


async def test_every_kind_of_job_is_there_again_after_a_restart_in_its_order(
    remembering: Workbench, paths: Paths, settings: Settings, demo_model: Path, tmp_path: Path
) -> None:
    bench = remembering
    bench.use(with_types(bench.plan.shape, "mine", {"token_embd.weight": Q4}, "kept"), "mine")
    asked = [
        bench.measure(),
        bench.measure_presets(),
        bench.measure_sensitivity(Granularity.BLOCK, [Q4], 2),
        bench.fit_recipe(bench.target_of_bpw(7), [TensorType.Q8_0, Q4]),
        bench.find_frontier([TensorType.Q8_0, Q4]),
        bench.measure_lowering(),
        bench.quantize(tmp_path / "out.gguf"),
        bench.compute_imatrix(chunks=2, n_ctx=256, use=True),
    ]
    bench.move(asked[-1].id, -1)
    titles = [job.title for job in (*asked[:6], asked[7], asked[6])]
    await bench.close()
    later = await reopened(paths, settings, demo_model)
    assert later.unfinished == tuple(titles)
    assert later.decide_on_unfinished(resume=True) == [] and later.unfinished == ()
    assert [job.title for job in later.jobs if job.active and job.kind != "fingerprint"] == titles
    await later.close()
    last = await reopened(paths, settings, demo_model)
    assert last.unfinished == tuple(titles)
    await last.close()


async def test_a_download_that_the_app_did_not_outlive_is_offered_with_the_model_that_was_open_then(
    remembering: Workbench,
    paths: Paths,
    settings: Settings,
    demo_model: Path,
    tiny_model: Path,
    hub: LocalHub,
) -> None:
    content = bytes(range(256)) * (16 << 10)
    file = hub.add("someone/Tiny-GGUF", "tiny-f16.gguf", content, seconds=0.2)
    found = await remembering.list_repository("someone/Tiny-GGUF")
    job = remembering.pull(found, found.models[0])
    await until(lambda: next(known for known in remembering.jobs if known.id == job.id).done > 0)
    await remembering.open(tiny_model)  # it goes on, and is not offered with the first model again
    await remembering.close()
    elsewhere = await reopened(paths, settings, demo_model)
    assert elsewhere.unfinished == ()
    await elsewhere.close()
    later = await reopened(paths, settings, tiny_model)
    assert later.unfinished == (job.title,) == ("download tiny-f16.gguf",)
    file.seconds = 0.0
    assert later.decide_on_unfinished(resume=True) == []
    resumed = await done(later, next(known for known in later.jobs if known.title == job.title))
    path = later.pulled(resumed)
    assert path is not None and path.read_bytes() == content
    assert (hub.asked("/storage")[-1].range or "").startswith("bytes=")
    await later.close()


async def test_a_conversion_that_the_app_did_not_outlive_is_offered(
    remembering: Workbench, paths: Paths, settings: Settings, demo_model: Path, tmp_path: Path
) -> None:
    measure(remembering, "ffn_q8")  # it waits for its turn behind this
    remembering.convert(tmp_path / "model", tmp_path / "model.gguf", "bf16", trust_code=True)
    await remembering.close()
    later = await reopened(paths, settings, demo_model)
    assert later.unfinished == ("measure", "convert model")
    later.decide_on_unfinished(resume=True)
    assert [job.title for job in later.jobs if job.active and job.kind == "convert"] == ["convert model"]
    await later.close()


async def test_what_is_not_resumed_is_listed_once_and_can_be_done_again(
    remembering: Workbench, paths: Paths, settings: Settings, demo_model: Path
) -> None:
    plan = planned(remembering, "ffn_q8")
    remembering.measure_plans([plan], "measure ffn_q8", speed=False)
    await remembering.close()
    later = await reopened(paths, settings, demo_model)
    later.decide_on_unfinished(resume=False)
    job = next(job for job in later.jobs if job.title == "measure ffn_q8")
    assert (job.state, job.message) == (JobState.CANCELLED, "not finished last time")
    later.retry(job.id)
    await until(lambda: later.result(plan) is not None)
    later.cancel(job.id)
    await later.wait(job)
    await later.close()
    again = await reopened(paths, settings, demo_model)
    assert again.unfinished == ()
    await again.close()


async def test_another_model_leaves_jobs_behind_that_are_offered_when_the_first_is_opened_again(
    remembering: Workbench, demo_model: Path, tiny_model: Path
) -> None:
    job = measure(remembering, "ffn_q8")
    await remembering.open(tiny_model)
    assert remembering.unfinished == ()
    with pytest.raises(WorkbenchError, match=f"was asked for on {demo_model.name}"):
        remembering.retry(job.id)
    await remembering.open(demo_model)
    assert remembering.unfinished == ("measure",)
    remembering.decide_on_unfinished(resume=True)
    await until(lambda: remembering.jobs[-1].state is JobState.RUNNING)


async def test_what_goes_on_is_measured_as_it_was_to_be_measured(
    remembering: Workbench, paths: Paths, settings: Settings, demo_model: Path
) -> None:
    remembering.configure(replace(settings, chunks=2))
    measure(remembering, "ffn_q8")
    await remembering.close()
    later = await reopened(paths, replace(settings, fit_ctx=512), demo_model)
    assert later.unfinished_settings.chunks == 2
    later.decide_on_unfinished(resume=True)
    assert (later.settings.chunks, later.settings.fit_ctx) == (2, 512)
    await later.close()


_KILLED = """
import asyncio, sys
from pathlib import Path
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import resolve
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.workbench import JobState, Settings, Workbench

async def main():
    home, model, corpus = map(Path, sys.argv[1:])
    settings = Settings(corpus=corpus, n_ctx=128, chunks=400, threads=1, divergence=False)
    bench = Workbench(Paths.under(home), settings)
    bench.remember_jobs()
    await bench.open(model)
    plan = resolve(bench.model.shape, preset("ffn_q8", bench.model.shape))
    bench.measure_plans([plan], "measure ffn_q8", speed=False)
    while not (bench.results and bench.results[0].chunks > 2):
        await asyncio.sleep(0.01)
    print(bench.results[0].chunks, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_an_app_that_is_killed_loses_no_job_and_none_is_offered_while_it_runs(
    paths: Paths, settings: Settings, demo_model: Path, english: Path
) -> None:
    home = paths.state.parent
    command = [sys.executable, "-c", _KILLED, str(home), str(demo_model), str(english)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout is not None
        chunks = int(app.stdout.readline())
        beside = await reopened(paths, settings, demo_model)
        assert beside.unfinished == ()
        await beside.close()
        os.kill(app.pid, signal.SIGKILL)
    later = await reopened(paths, settings, demo_model)
    assert later.unfinished == ("measure ffn_q8",)
    later.decide_on_unfinished(resume=True)
    assert row(later, "ffn_q8").chunks >= chunks and later.settings.chunks == 400
    await until(lambda: row(later, "ffn_q8").chunks > chunks + 2)
    await later.close()


async def test_a_damaged_file_is_set_aside_and_a_gone_recipe_is_told_in_a_sentence(
    remembering: Workbench, paths: Paths, settings: Settings, demo_model: Path
) -> None:
    measure(remembering, "ffn_q8")
    await remembering.close()
    file = own_file(paths, demo_model)
    file.write_bytes(file.read_bytes().replace(b"blk.0.ffn_down.weight", b"blk.0.nothing.weight"))
    later = await reopened(paths, settings, demo_model)
    (sentence,) = later.decide_on_unfinished(resume=True)
    assert sentence.startswith("measure cannot be done: ") and "blk.0.nothing.weight" in sentence
    await later.close()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"{")
    last = await reopened(paths, settings, demo_model)
    assert last.unfinished == () and not file.exists()
    assert last.take_notices() == [
        f"{file} is damaged; it is set aside as {file.name}.aside, and lqtui begins anew."
    ]
    await last.close()


async def test_a_clock_that_is_set_makes_no_running_lqtui_one_that_is_gone(
    remembering: Workbench,
    paths: Paths,
    settings: Settings,
    demo_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure(remembering, "ffn_q8")
    await until(lambda: own_file(paths, demo_model).exists())
    own = own_file(paths, demo_model)
    boot = psutil.boot_time()
    began = psutil.Process.create_time
    monkeypatch.setattr(psutil, "boot_time", lambda: boot - 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: began(process) - 3600)
    assert own_file(paths, demo_model) == own
    others = own.rename(own.with_name(f"{os.getppid()}-{_started(os.getppid())}.json"))
    monkeypatch.undo()
    assert left_of(paths, demo_model).found == ()  # it is of one that runs
    others.unlink()


async def test_what_others_left_stays_where_it_cannot_be_written_down_anew(
    remembering: Workbench,
    paths: Paths,
    settings: Settings,
    demo_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure(remembering, "ffn_q8")
    await remembering.close()
    own = own_file(paths, demo_model)
    others = own.rename(own.with_name("1-999999999.json"))  # as of a process that is gone

    def full(*_: object) -> None:
        raise StoreError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr("lqtui.workbench.resuming.save_unfinished", full)
        later = await reopened(paths, settings, demo_model)
        assert later.unfinished == ("measure",) and others.exists()
        await later.close()


async def test_nobody_asks_twice_for_what_is_not_finished(remembering: Workbench) -> None:
    target = remembering.target_of_bpw(7)
    job = remembering.fit_recipe(target, [TensorType.Q8_0, Q4])
    with pytest.raises(WorkbenchError, match="is among the jobs already"):
        remembering.fit_recipe(target, [TensorType.Q8_0, Q4])
    remembering.fit_recipe(remembering.target_of_bpw(6), [TensorType.Q8_0, Q4])
    remembering.cancel(job.id)
    await remembering.wait(job)
    assert remembering.fit_recipe(target, [TensorType.Q8_0, Q4]).id != job.id
    assert state(remembering, job) is JobState.CANCELLED


async def test_what_is_measured_anew_goes_on_after_a_pause_where_it_was(
    remembering: Workbench, settings: Settings
) -> None:
    bench = remembering
    bench.configure(replace(settings, chunks=10, divergence=False))
    plan = planned(bench, "ffn_q8")
    await done(bench, bench.measure_plans([plan], "first", speed=False))
    job = bench.measure_plans([plan], "anew", speed=False, fresh=True)

    def now() -> tuple[JobState, int]:
        return next((each.state, each.done) for each in bench.jobs if each.id == job.id)

    await until(lambda: now()[1] >= 3)
    bench.pause(job.id)
    await until(lambda: now()[0] is JobState.PAUSED)
    bench.resume(job.id)
    totals: set[int] = set()
    bench.subscribe(lambda _: totals.add(next(each.total for each in bench.jobs if each.id == job.id)))
    await done(bench, job)
    assert min(total for total in totals if total) <= 7
